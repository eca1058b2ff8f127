"""Where a run starts from, of all the checkpoints that could be there."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from proto_gcn.config.train import TrainConfig
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.checkpoints.resume import resume
from proto_gcn.engine.learner import Learner
from proto_gcn.engine.processes.group import Group
from proto_gcn.engine.reporting.run_log import RunLog
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.settings import RunSettings
from proto_gcn.errors import ConfigError

CPU = torch.device("cpu")
AT = Progress(epoch=1, best_top1=50.0, best_epoch=1, elapsed_s=9.0, report={"epoch": 1})


class Run:
    """Holds a run folder, and calls `resume` in it."""

    def __init__(self, root: Path, raw: dict[str, Any]) -> None:
        self.folder = RunFolder(root / "runs" / "x")
        self.folder.create()
        environment = {"CONFIG_FILE": "c.yaml", "JOB_ID": "x", "WORK_DIR": str(root)}
        self.settings, self.raw = RunSettings.from_environment(environment), raw

    def config(self, **changes: Any) -> TrainConfig:
        return TrainConfig.model_validate(self.raw | changes)

    def save(self, path: Path, progress: Progress = AT) -> Path:
        config = self.config()
        checkpoint.write(path, checkpoint.encode(Learner(config, CPU), progress, config))
        return path

    def resume(self, group: Group | None = None, **changes: Any) -> tuple[Progress, Learner]:
        config = self.config(**changes)
        learner = Learner(config, CPU, group)
        return resume(learner, config, self.folder, self.settings, RunLog()), learner


@pytest.fixture
def run(tmp_path: Path, raw_config: dict[str, Any]) -> Run:
    return Run(tmp_path, raw_config)


def test_the_latest_comes_before_the_best_and_its_own_before_any_other(
    run: Run, tmp_path: Path
) -> None:
    other = str(run.save(tmp_path / "other.pth", replace(AT, epoch=0, step=1)))
    assert run.resume()[0] == Progress()
    assert run.resume(resume_from=other)[0].epoch == 0
    run.save(run.folder.best)
    assert run.resume(resume_from=other)[0] == AT
    run.save(run.folder.latest, replace(AT, step=2))
    assert run.resume(resume_from=other)[0] == replace(AT, step=2)


def test_a_damaged_checkpoint_is_moved_aside(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.save(run.folder.best)
    run.folder.latest.write_bytes(b"PK broken")
    assert run.resume()[0] == AT
    assert "latest.pth is not a readable checkpoint" in capsys.readouterr().out
    assert run.folder.latest.with_name("latest.pth.damaged").read_bytes() == b"PK broken"
    assert not run.folder.latest.exists()


def test_only_the_first_process_moves_a_damaged_checkpoint_aside(run: Run) -> None:
    run.save(run.folder.best)
    run.folder.latest.write_bytes(b"PK broken")
    assert run.resume(Group(rank=1, size=2, local_rank=1, local_size=2))[0] == AT
    assert run.folder.latest.exists()


def test_a_checkpoint_that_cannot_be_read_now_is_not_damaged(run: Run) -> None:
    run.save(run.folder.best)
    run.folder.latest.mkdir()  # root may read every file
    with pytest.raises(IsADirectoryError):
        run.resume()
    assert run.folder.latest.is_dir()


def test_running_out_of_memory_does_not_mean_a_damaged_checkpoint(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.save(run.folder.latest)

    def short(*_: Any, **__: Any) -> None:
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    monkeypatch.setattr(torch, "load", short)
    with pytest.raises(RuntimeError, match="can't allocate"):
        run.resume()
    assert run.folder.latest.exists()


def test_the_best_is_forgotten_with_its_checkpoint(run: Run) -> None:
    run.save(run.folder.latest)
    assert run.resume()[0] == AT.without_best()


def test_all_epochs_done_without_a_best_checkpoint_is_refused(run: Run) -> None:
    run.save(run.folder.latest, replace(AT, epoch=2))
    with pytest.raises(
        ConfigError, match=r"all 2 epochs are done, but there is no best\.pth to report; raise"
    ):
        run.resume()


def test_another_runs_best_and_report_stay_there(run: Run, tmp_path: Path) -> None:
    other = str(run.save(tmp_path / "other.pth"))
    assert run.resume(resume_from=other)[0] == Progress(epoch=1)


def test_a_run_with_all_epochs_done_cannot_be_resumed(run: Run, tmp_path: Path) -> None:
    other = str(run.save(tmp_path / "other.pth", replace(AT, epoch=2)))
    with pytest.raises(ConfigError, match="has already done 2 epochs of 2; raise total_epochs"):
        run.resume(resume_from=other)
    assert run.resume(resume_from=other, total_epochs=3)[0].epoch == 2


@pytest.mark.parametrize("key", ["load_from", "resume_from"])
def test_a_named_file_that_is_damaged_or_absent_is_bad_input(
    run: Run, tmp_path: Path, key: str
) -> None:
    with pytest.raises(ConfigError, match=f"{key} names .*x.pth, which does not exist"):
        run.resume(**{key: str(tmp_path / "x.pth")})
    (tmp_path / "x.pth").write_bytes(b"PK broken")
    with pytest.raises(
        ConfigError, match=rf"{key}: .*x\.pth is not a readable checkpoint .*; name another file"
    ):
        run.resume(**{key: str(tmp_path / "x.pth")})
    assert (tmp_path / "x.pth").exists()


def test_the_configs_optimiser_counts_and_the_checkpoints_momentum(
    run: Run, tmp_path: Path
) -> None:
    learner = Learner(run.config(), CPU)
    learner.step(torch.randn(4, 1, 2, 8, 25, 3), torch.tensor([0, 1, 2, 3]), lr=0.1)
    checkpoint.write(run.folder.latest, checkpoint.encode(learner, AT, run.config()))
    shutil.copy(run.folder.latest, run.folder.best)
    found = run.resume(optimizer={"momentum": 0.5, "weight_decay": 0.01, "nesterov": False})[
        1
    ].optimizer
    group = found.param_groups[0]
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.5, 0.01, False)
    buffers = [state["momentum_buffer"] for state in found.state.values() if state]
    assert buffers
    assert any(buffer.abs().sum() > 0 for buffer in buffers)


def test_a_checkpoint_without_later_keys_can_be_resumed(run: Run) -> None:
    config = run.config()
    content = torch.load(run.save(run.folder.latest), weights_only=True)
    del (
        content["meta"]["config"]["model"]["backbone"]["prn_input"],
        content["meta"]["config"]["data"]["part_drop"],
    )
    content["progress"]["step"] = 1
    assert checkpoint.restore(content, Learner(config, CPU), config).step == 1


def test_an_invalid_config_in_a_checkpoint_is_reported(run: Run) -> None:
    content = torch.load(run.save(run.folder.latest), weights_only=True)
    content["meta"]["config"]["model"]["backbone"]["shape"] = 1
    with pytest.raises(
        ConfigError, match=r"the config in the checkpoint: unknown key model\.backbone\.shape"
    ):
        checkpoint.restore(content, Learner(run.config(), CPU), run.config())
