"""Real `python train.py` processes on a tiny data set: what the queue relies on."""

import fcntl
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from proto_gcn.data import synthetic
from proto_gcn.engine import failpoint

TRAINER = Path(synthetic.__file__).parents[1]
EPOCHS, STEPS, CHANCE = 4, 12, 50.0
CONFIG: dict[str, Any] = {
    "model": {
        "backbone": {"base_channels": 8, "num_stages": 2, "num_person": 1, "num_prototype": 4},
        "cls_head": {"num_classes": 2},
    },
    "data": {
        "ann_file": "/data/datasets/tiny.pkl",
        "clip_len": 8,
        "num_person": 1,
        "videos_per_gpu": 4,
        "workers_per_gpu": 0,
    },
    "optimizer": {"lr": 0.05},
    "log_config": {"interval": 1},
    "total_epochs": EPOCHS,
}


class Lab:
    """A folder that stands for /data, and one job in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "ann" / "runs" / "ann_1"
        self.running: list[subprocess.Popen[str]] = []
        self.configure()

    def configure(self, **changes: Any) -> None:
        (self.root / "config.yaml").write_text(yaml.safe_dump(CONFIG | changes))

    def start(self, limit: str = "", **environment: str) -> subprocess.Popen[str]:
        """`python train.py` in a process group of its own, after `ulimit` with that limit where one is given."""
        fixed = {"CONFIG_FILE": str(self.root / "config.yaml"), "WORK_DIR": "/data/ann", "JOB_ID": "ann_1"}
        place = {"DATA_ROOT": str(self.root), "GPUQ_TESTING": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        process = subprocess.Popen(
            ["bash", "-c", f"ulimit {limit or '-c 0'}; exec {sys.executable} train.py"],
            cwd=TRAINER,
            env=os.environ | fixed | place | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run(self, limit: str = "", **environment: str) -> tuple[int, list[str]]:
        """(exit code, lines of stdout); nothing may have gone to stderr."""
        process = self.start(limit, **environment)
        out, err = process.communicate(timeout=120)
        assert err == ""
        return process.returncode, out.splitlines()

    def metrics(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]

    def weights(self) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / "latest.pth", weights_only=True)

    def assert_done(self) -> None:
        result = json.loads((self.folder / "result.json").read_text())
        assert result["status"] == "succeeded"
        assert result["epochs"] == EPOCHS
        assert [line["epoch"] for line in self.metrics("epoch")] == [1, 2, 3, 4]
        assert sorted(p.name for p in (self.folder / "checkpoints").iterdir()) == ["best.pth", "latest.pth"]


@pytest.fixture(scope="module")
def tiny() -> bytes:
    return pickle.dumps(synthetic.make_dataset(seed=0, classes=2, train=4 * STEPS, val=16), protocol=4)


@pytest.fixture
def make_lab(tmp_path: Path, tiny: bytes) -> Iterator[Callable[[str], Lab]]:
    labs: list[Lab] = []

    def make(name: str) -> Lab:
        (tmp_path / name / "datasets").mkdir(parents=True)
        (tmp_path / name / "datasets" / "tiny.pkl").write_bytes(tiny)
        labs.append(Lab(tmp_path / name))
        return labs[-1]

    yield make
    for process in (process for lab in labs for process in lab.running):
        process.kill()
        process.communicate()


@pytest.fixture
def lab(make_lab: Callable[[str], Lab]) -> Lab:
    return make_lab("data")


def read_until(process: subprocess.Popen[str], part: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return line
    raise AssertionError(f"the process ended without saying {part!r}")


def test_a_training_learns_and_leaves_everything_behind(lab: Lab, tmp_path: Path) -> None:
    progress = tmp_path / "progress"
    code, lines = lab.run(ARGO_PROGRESS_FILE=str(progress))
    assert code == 0
    lab.assert_done()
    assert lines == (lab.folder / "train.log").read_text().splitlines()
    assert lines[0].startswith("config.yaml: stream j, seed 0, 48 training and 16 validation samples of 2 classes, ")
    assert lines[0].endswith("4 epochs of 12 steps on the CPU (1 thread)")
    result = json.loads((lab.folder / "result.json").read_text())
    assert lines[-1].startswith(f"done: best top1 {result['best_top1']:.1f} @{result['best_epoch']}, checkpoint ")
    assert progress.read_text() == "4/4"
    assert result["job_id"] == "ann_1"
    assert {Path(result[key]).exists() for key in ("checkpoint", "log", "metrics")} == {True}
    assert result["best_top1"] > CHANCE
    epochs = lab.metrics("epoch")
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert max(line["top1"] for line in epochs) == result["best_top1"] == epochs[-1]["best_top1"]
    assert epochs[0]["lr"] > epochs[-1]["lr"] > 0
    assert lab.metrics("start")[0]["steps"] == STEPS
    assert lab.metrics("step")[0].keys() == {"kind", "at", "epoch", "epochs", "step", "steps", "loss", "eta_s"}
    assert lab.metrics("telemetry")[0]["memory_total_mb"] > 0
    assert yaml.safe_load((lab.folder / "config.yaml").read_text())["data"]["clip_len"] == 8

    before = (lab.folder / "result.json").stat().st_mtime_ns
    code, lines = lab.run()
    assert (code, len(lines)) == (0, 1)
    assert "has finished already" in lines[0]
    assert (lab.folder / "result.json").stat().st_mtime_ns == before


def test_sigterm_in_mid_epoch_resumes_to_the_same_weights(make_lab: Callable[[str], Lab]) -> None:
    whole, broken = make_lab("whole"), make_lab("broken")
    assert whole.run()[0] == 0
    process = broken.start()
    read_until(process, "epoch 2/4 step 3/12")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (143, "")
    assert re.match(r"stopped by SIGTERM after [123] epochs and \d+ of 12 steps; ", out.splitlines()[-1])
    assert not (broken.folder / "result.json").exists()
    stopped = broken.weights()["progress"]
    assert STEPS + 3 <= stopped["epoch"] * STEPS + stopped["step"] < EPOCHS * STEPS
    code, lines = broken.run()
    assert code == 0
    assert f"after {stopped['epoch']} epochs and {stopped['step']} steps" in lines[0]
    broken.assert_done()
    ours, theirs = broken.weights(), whole.weights()
    assert all(torch.equal(value, theirs["state_dict"][key]) for key, value in ours["state_dict"].items())
    assert torch.equal(ours["memory"], theirs["memory"])
    assert [line["loss"] for line in broken.metrics("epoch")] == [line["loss"] for line in whole.metrics("epoch")]


def test_sigterm_before_training_ends_at_once(lab: Lab) -> None:
    lab.folder.mkdir(parents=True)
    with (lab.folder / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = lab.start()
        read_until(process, "waiting for another process")
        process.terminate()
        assert process.wait(timeout=10) == 143


def test_sigkill_resumes_from_the_last_epoch(lab: Lab) -> None:
    process = lab.start()
    read_until(process, "epoch 2/4 step 2/12")
    process.kill()
    process.communicate()
    code, lines = lab.run()
    assert code == 0
    assert re.search(r"after [123] epochs and 0 steps$", lines[0])
    lab.assert_done()


@pytest.mark.parametrize("name", failpoint.NAMES)
def test_a_death_at_any_write_is_survived(name: str, lab: Lab) -> None:
    process = lab.start(FAILPOINT=f"{name}:kill")
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert lab.run()[0] == 0
    lab.assert_done()


def test_a_failure_inside_is_one_sentence_with_its_trace_in_the_log(lab: Lab) -> None:
    code, lines = lab.run(FAILPOINT="trainer.latest.saved:raise")
    assert code == 1
    assert lines[-1].startswith("unexpected FailpointError: failpoint trainer.latest.saved (trace-back in train.log)")
    assert not any("Traceback" in line for line in lines)
    assert "Traceback" in (lab.folder / "train.log").read_text()


def test_a_damaged_checkpoint_is_said_and_the_best_one_taken(lab: Lab) -> None:
    process = lab.start()
    read_until(process, "epoch 2/4 step 1/12")
    process.kill()
    process.communicate()
    latest = lab.folder / "checkpoints" / "latest.pth"
    latest.write_bytes(latest.read_bytes()[:-500])
    code, lines = lab.run()
    assert code == 0
    assert "latest.pth is no readable checkpoint" in lines[0]
    assert "resuming from" in lines[1]
    assert "best.pth" in lines[1]
    assert (lab.folder / "result.json").exists()


def test_a_second_process_waits_then_leaves_with_75(lab: Lab) -> None:
    first = lab.start(FAILPOINT="trainer.config.written:sleep")
    while not (lab.folder / "config.yaml").exists():
        assert first.poll() is None
    code, lines = lab.run(RUN_LOCK_WAIT_S="0.5")
    assert code == 75
    assert "another process is training in" in lines[-1]
    second = lab.start()
    read_until(second, "waiting for another process")
    first.kill()
    first.communicate()
    second.communicate(timeout=120)
    assert second.returncode == 0
    lab.assert_done()


def test_a_bad_config_is_2_with_a_sentence(lab: Lab) -> None:
    lab.configure(total_epoch=3)
    code, lines = lab.run()
    assert code == 2
    assert lines == [f"{lab.root}/config.yaml: unknown key total_epoch; did you mean total_epochs?"]
    assert (lab.folder / "train.log").read_text().splitlines() == lines


def test_a_promised_gpu_that_is_not_there_is_1_before_anything_is_trained(lab: Lab) -> None:
    code, lines = lab.run(REQUIRE_GPU="true")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("a GPU was promised (REQUIRE_GPU=true), but PyTorch ")
    assert (lab.folder / "train.log").read_text().splitlines() == lines
    assert not (lab.folder / "metrics.jsonl").exists()


@pytest.mark.parametrize("variable", ["CONFIG_FILE", "WORK_DIR", "JOB_ID"])
def test_a_missing_variable_is_2_with_a_sentence(variable: str, lab: Lab) -> None:
    code, lines = lab.run(**{variable: ""})
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(variable)


def test_a_failpoint_outside_tests_is_2(lab: Lab) -> None:
    code, lines = lab.run(FAILPOINT="trainer.result.before:kill", GPUQ_TESTING="")
    assert (code, len(lines)) == (2, 1)
    assert "works only in tests" in lines[0]


def test_missing_data_is_2_and_names_file_and_key(lab: Lab) -> None:
    (lab.root / "datasets" / "tiny.pkl").unlink()
    code, lines = lab.run()
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"cannot read the data file {lab.root}/datasets/tiny.pkl: No such file or directory")
    assert "data.ann_file" in lines[0]


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch witness",)


def test_hostile_data_is_2_and_not_run(lab: Lab) -> None:
    (lab.root / "datasets" / "tiny.pkl").write_bytes(pickle.dumps(Hostile()))
    code, lines = lab.run()
    assert (code, len(lines)) == (2, 1)
    assert "is refused: it asks for posix.system" in lines[0]
    assert not (TRAINER / "witness").exists()


def test_nan_is_1_and_keeps_the_last_good_checkpoint(lab: Lab) -> None:
    process = lab.start()
    read_until(process, "epoch 2/4 step 1/12")
    process.kill()
    process.communicate()
    good = (lab.folder / "checkpoints" / "latest.pth").read_bytes()
    lab.configure(optimizer={"lr": 1e30})
    code, lines = lab.run()
    assert code == 1
    assert "lower optimizer.lr (1e+30)" in lines[-1]
    assert "the last good checkpoint is kept" in lines[-1]
    assert (lab.folder / "checkpoints" / "latest.pth").read_bytes() == good


def test_a_full_disk_is_1_and_keeps_the_earlier_checkpoint(lab: Lab) -> None:
    process = lab.start()
    read_until(process, "epoch 2/4 step 1/12")
    process.kill()
    process.communicate()
    good = (lab.folder / "checkpoints" / "latest.pth").read_bytes()
    code, lines = lab.run(limit=f"-f {len(good) // 1024 // 2}")  # no file may grow beyond half a checkpoint
    assert code == 1
    assert "pth: File too large" in lines[-1]
    assert "the earlier checkpoint is intact" in lines[-1]
    assert (lab.folder / "checkpoints" / "latest.pth").read_bytes() == good


def test_a_log_that_cannot_be_written_is_1_with_a_sentence(lab: Lab) -> None:
    lab.folder.mkdir(parents=True)
    (lab.folder / "train.log").symlink_to("/dev/full")
    code, lines = lab.run()
    assert code == 1
    assert lines[-1] == "cannot use a file of the run: No space left on device; free space or access, then retry"


def test_workers_and_the_final_test_survive_a_signal_to_the_whole_group(lab: Lab) -> None:
    lab.configure(data=CONFIG["data"] | {"workers_per_gpu": 1, "test_clips": 3})
    process = lab.start()
    read_until(process, "epoch 2/4 step 2/12")
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 143
    assert lab.run()[0] == 0
    lab.assert_done()
    assert json.loads((lab.folder / "result.json").read_text())["test_top1"] >= CHANCE
