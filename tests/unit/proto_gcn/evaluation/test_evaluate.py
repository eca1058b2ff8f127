"""The command `evaluate`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from proto_gcn.__main__ import main
from proto_gcn.commands.network_options import progress_printer
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.trained import of_run
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.metrics import measure_all
from tests.unit.proto_gcn.trained_run import TrainedRun


@pytest.fixture
def trained(tmp_path: Path, raw_config: dict[str, Any]) -> TrainedRun:
    return TrainedRun(tmp_path, raw_config)


def test_a_run_is_evaluated(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {
        name: tmp_path / f"o.{ending}"
        for name, ending in (("scores", "npz"), ("json", "json"), ("confusion", "png"))
    }
    options = [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    assert main(["evaluate", str(trained.run), "--clips", "2", "--device", "cpu", *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "8 samples of xsub_val, stream j, clips: 2"
    numbers = json.loads(outputs["json"].read_text())
    assert (numbers["samples"], numbers["clips"], numbers["checkpoint"]) == (
        8,
        2,
        str(trained.best),
    )
    assert printed[1] == f"top1       {numbers['top1']:6.2f} %"
    file = score_file.read(outputs["scores"])
    assert measure_all(file.scores, file.labels)["top1"] == pytest.approx(numbers["top1"], abs=1e-4)
    assert outputs["confusion"].read_bytes()[:4] == b"\x89PNG"


def test_the_config_selects_the_accuracies(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = yaml.safe_load(trained.config_file.read_text()) | {"evaluation": {"topk": [1, 3]}}
    (trained.run / "config.yaml").write_text(yaml.safe_dump(raw))
    assert main(["evaluate", str(trained.run), "--clips", "1", "--json", str(tmp_path / "a")]) == 0
    wanted = ["top1", "top3", "mean_class"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == wanted
    assert list(json.loads((tmp_path / "a").read_text()))[-3:] == wanted


@pytest.fixture
def switches() -> Iterator[tuple[Any, Any]]:
    """Yield the TF32 switches of convolutions and matrix products, and restore them."""
    found = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in found]
    yield found
    for switch, value in zip(found, before, strict=True):
        switch.allow_tf32 = value


@pytest.mark.parametrize(
    ("precision", "allowed"), [("fp32", False), ("bf16", False), ("tf32", True)]
)
def test_products_have_the_precision_of_the_training(
    trained: TrainedRun, precision: str, allowed: bool, switches: tuple[Any, Any]
) -> None:
    """PyTorch's own default rounds convolutions to TF32."""
    for switch in switches:
        switch.allow_tf32 = not allowed
    raw = yaml.safe_load(trained.config_file.read_text()) | {"engine": {"precision": precision}}
    (trained.run / "config.yaml").write_text(yaml.safe_dump(raw))
    of_run(trained.run, torch.device("cpu"))
    assert [switch.allow_tf32 for switch in switches] == [allowed, allowed]


def test_a_compiled_training_is_evaluated_without_compiling(trained: TrainedRun) -> None:
    raw = yaml.safe_load(trained.config_file.read_text()) | {
        "engine": {"compile": True, "channels_last": True}
    }
    (trained.run / "config.yaml").write_text(yaml.safe_dump(raw))
    block = of_run(trained.run, torch.device("cpu")).model.backbone.gcn[1]
    assert block._compiled_call_impl is None
    assert block.gcn.post.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("clips", "batch", "steps"), [(1, 4, 2), (2, 4, 4), (3, 4, 8), (10, 4, 8)])
def test_batch_limits_the_clips_per_batch(
    trained: TrainedRun,
    clips: int,
    batch: int,
    steps: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert (
        main(
            [
                "evaluate",
                str(trained.run),
                "--clips",
                str(clips),
                "--batch",
                str(batch),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    assert capsys.readouterr().err.endswith(f"batch {steps} of {steps}\n")  # of 8 samples


def test_a_checkpoint_alone_is_evaluated_with_its_own_config(
    trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "evaluate",
                "--checkpoint",
                str(trained.best),
                "--split",
                "xview_train",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    assert "8 samples of xview_train, stream j, clips: 10" in capsys.readouterr().out


def test_a_published_checkpoint_needs_the_config(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = tmp_path / "p.pth"
    state = {
        f"module.{key}": value for key, value in checkpoint.read(trained.best)["state_dict"].items()
    }
    meta = {"epoch": 150, "config": "model = dict(…)", "hook_msgs": {"best_score": np.float64(0.9)}}
    torch.save({"state_dict": state, "meta": meta, "optimizer": {}}, published)
    assert main(["evaluate", "--checkpoint", str(published)]) == 2
    assert (
        "does not contain the config of its network; add --config FILE, as published"
        in capsys.readouterr().err
    )
    wanted, given = tmp_path / "a.json", tmp_path / "b.json"
    assert (
        main(
            [
                "evaluate",
                "--checkpoint",
                str(published),
                "--config",
                str(trained.config_file),
                "--json",
                str(given),
            ]
        )
        == 0
    )
    assert main(["evaluate", "--checkpoint", str(trained.best), "--json", str(wanted)]) == 0
    ours, theirs = (json.loads(path.read_text()) for path in (wanted, given))
    assert ours.pop("checkpoint") != theirs.pop("checkpoint")
    assert ours == theirs


def test_progress_is_shown_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal, wanted in ((True, "\rbatch 1 of 2\rbatch 2 of 2\n"), (False, "")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda answer=terminal: answer)
        count = progress_printer(2)
        count()
        count()
        assert capsys.readouterr().err == wanted


def test_weights_of_another_network_are_refused_by_name(
    trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = yaml.safe_load(trained.config_file.read_text())
    raw["model"]["cls_head"]["num_classes"] = 7
    trained.config_file.write_text(yaml.safe_dump(raw))
    torch.save(
        {"state_dict": checkpoint.read(trained.best)["state_dict"]}, trained.best
    )  # as published ones are
    assert (
        main(["evaluate", "--checkpoint", str(trained.best), "--config", str(trained.config_file)])
        == 2
    )
    reported = capsys.readouterr().err
    assert "cls_head.fc_cls.weight ([4, 16] instead of [7, 16])" in reported
    assert reported.endswith("; set model.cls_head.num_classes to 4 (it is 7)\n")


def test_weights_that_scoring_does_not_need_may_be_missing_or_unknown(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = checkpoint.read(trained.best)
    state = content["state_dict"]
    del state["backbone.prn.query_matrix.weight"]
    state["cls_head.csc_loss.proto_loss.memory"] = torch.zeros(2)
    torch.save(content, tmp_path / "other.pth")
    assert (
        main(
            ["evaluate", "--checkpoint", str(tmp_path / "other.pth"), "--json", str(tmp_path / "a")]
        )
        == 0
    )
    reported = capsys.readouterr().err
    assert (
        "1 key is missing: backbone.prn.query_matrix.weight; scores are computed without them"
        in reported
    )
    assert (
        "1 key is unknown: cls_head.csc_loss.proto_loss.memory; scores are computed without"
        in reported
    )
    assert main(["evaluate", "--checkpoint", str(trained.best), "--json", str(tmp_path / "b")]) == 0
    numbers = [json.loads((tmp_path / name).read_text()) for name in "ab"]
    assert numbers[0].pop("checkpoint") != numbers[1].pop("checkpoint")
    assert numbers[0] == numbers[1]
    del state["backbone.gcn.0.gcn.A"]
    torch.save(content, tmp_path / "other.pth")
    capsys.readouterr()
    assert main(["evaluate", "--checkpoint", str(tmp_path / "other.pth")]) == 2
    assert "backbone.gcn.0.gcn.A" in capsys.readouterr().err


def test_a_run_without_a_checkpoint_is_refused(
    trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.best.unlink()
    assert main(["evaluate", str(trained.run)]) == 2
    assert "has no checkpoint yet; wait for the first epoch" in capsys.readouterr().err


@pytest.mark.parametrize("of", ["folder", "--config"])
def test_a_config_that_differs_from_the_training_is_refused(
    of: str, trained: TrainedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their shapes would fit."""
    raw = yaml.safe_load(trained.config_file.read_text()) | {"modality": "b"}
    file = trained.run / "config.yaml" if of == "folder" else trained.config_file
    file.write_text(yaml.safe_dump(raw))
    named = (
        [str(trained.run)]
        if of == "folder"
        else ["--checkpoint", str(trained.best), "--config", str(file)]
    )
    assert main(["evaluate", *named]) == 2
    assert (
        f"{trained.best} was trained with other settings than {file} has: modality; use"
        in capsys.readouterr().err
    )
    assert main(["evaluate", "--checkpoint", str(trained.best), "--clips", "1"]) == 0
