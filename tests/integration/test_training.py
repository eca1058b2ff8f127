"""Check what the queue relies on with `python train.py` processes on a tiny data set."""

import fcntl
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.training.lab import BATCH, CHANCE, EPOCHS, STEPS, Lab, read_until
from tests.training.same import assert_same_training


def test_a_training_learns_and_leaves_everything_behind(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    lab = make_lab("data", train=2 * BATCH * STEPS)
    progress = tmp_path / "progress"
    code, lines = lab.run(ARGO_PROGRESS_FILE=str(progress))
    assert code == 0
    lab.assert_done()
    assert lines == (lab.folder / "train.log").read_text().splitlines()
    assert lines[0].startswith(
        "config.yaml: stream j, seed 1, 48 training and 16 validation samples of 2 classes, "
    )
    assert lines[0].endswith("4 epochs of 12 steps on the CPU (1 thread)")
    result = json.loads((lab.folder / "result.json").read_text())
    assert lines[-1].startswith(
        f"done: best top1 {result['best_top1']:.1f} @{result['best_epoch']}, checkpoint "
    )
    assert progress.read_text() == "4/4"
    assert result["job_id"] == "ann_1"
    assert {Path(result[key]).exists() for key in ("checkpoint", "log", "metrics")} == {True}
    assert result["best_top1"] > CHANCE
    epochs = lab.metrics("epoch")
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    assert max(line["top1"] for line in epochs) == result["best_top1"] == epochs[-1]["best_top1"]
    assert epochs[0]["lr"] > epochs[-1]["lr"] > 0
    assert lab.metrics("start")[0]["steps"] == 2 * STEPS
    assert lab.metrics("step")[0].keys() == {
        "kind",
        "at",
        "epoch",
        "epochs",
        "step",
        "steps",
        "loss",
        "eta_s",
    }
    assert lab.metrics("telemetry")[0]["memory_total_mb"] > 0
    assert yaml.safe_load((lab.folder / "config.yaml").read_text())["data"]["clip_len"] == 8

    before = (lab.folder / "result.json").stat().st_mtime_ns
    code, lines = lab.run()
    assert (code, len(lines)) == (0, 1)
    assert "has already finished" in lines[0]
    assert (lab.folder / "result.json").stat().st_mtime_ns == before


def test_sigterm_in_mid_epoch_resumes_to_the_same_training(make_lab: Callable[..., Lab]) -> None:
    whole, broken = make_lab("whole"), make_lab("broken")
    assert whole.run()[0] == 0
    process = broken.start()
    read_until(process, "epoch 2/4 step 3/6")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (143, "")
    assert re.match(
        r"stopped by SIGTERM after [123] epochs and \d+ of 6 steps; ", out.splitlines()[-1]
    )
    assert not (broken.folder / "result.json").exists()
    stopped = broken.checkpoint()["progress"]
    assert STEPS + 3 <= stopped["epoch"] * STEPS + stopped["step"] < EPOCHS * STEPS
    code, lines = broken.run()
    assert code == 0
    assert f"after {stopped['epoch']} epochs and {stopped['step']} steps" in lines[0]
    broken.assert_done()
    assert_same_training(broken.folder, whole.folder)


def test_sigterm_before_training_ends_at_once(lab: Lab) -> None:
    lab.folder.mkdir(parents=True)
    with (lab.folder / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        process = lab.start()
        read_until(process, "waiting for another process")
        process.terminate()
        assert process.wait(timeout=10) == 143


def test_sigterm_to_the_whole_process_group_stops_like_sigterm_to_the_trainer(lab: Lab) -> None:
    lab.configure(data={"workers_per_gpu": 1, "test_clips": 3})
    process = lab.start()
    read_until(process, "epoch 2/4 step 2/6")
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 143
    assert lab.run()[0] == 0
    lab.assert_done()
    assert json.loads((lab.folder / "result.json").read_text())["test_top1"] >= CHANCE


def test_a_failure_inside_is_one_sentence_with_its_trace_in_the_log(lab: Lab) -> None:
    code, lines = lab.run(FAILPOINT="trainer.latest.saved:raise")
    assert code == 1
    assert lines[-1].startswith(
        "unexpected FailpointError: failpoint trainer.latest.saved (trace-back in train.log)"
    )
    assert not any("Traceback" in line for line in lines)
    assert "Traceback" in (lab.folder / "train.log").read_text()


def test_a_log_that_cannot_be_written_ends_with_1_and_a_sentence(lab: Lab) -> None:
    lab.folder.mkdir(parents=True)
    (lab.folder / "train.log").symlink_to("/dev/full")
    code, lines = lab.run()
    assert code == 1
    sentence = "cannot use {}: No space left on device; free space or grant access, then retry"
    assert lines[-1] == sentence.format(lab.folder / "train.log")


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
