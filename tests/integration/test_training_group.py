"""Compare a training with several processes, started by train.py or torchrun, with a single one."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from proto_gcn.config.train import TrainConfig
from proto_gcn.model.head import ProtoGCN
from tests.training.lab import CONFIG, ROOT, TRAIN_PY, Lab, merged, read_until
from tests.training.same import assert_same_training

FLOAT64 = [sys.executable, str(Path(__file__).with_name("train_float64.py"))]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TWO = {"TRAIN_PROCESSES": "2"}
OWN = {"PYTHONPATH": str(ROOT)}  # train.py finds its package itself, other programs do not
NO_DROPOUT = {"backbone": {"prn_dropout": 0.0}}  # each process draws its own dropout
FAILING = """
import os, sys
from proto_gcn.engine import run
from proto_gcn.engine.processes.launch import command, launch, process_count
from proto_gcn.errors import DataError

def broken(*_):
    raise DataError("this process reads something else")

if process_count(os.environ) > 1:
    sys.exit(launch(command(), 2))
if os.environ["RANK"] == "1":
    run.load_splits = broken
sys.exit(run.main())
"""


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """Two processes have 4 steps; an odd number of validation samples is filled up and cut back."""
    lab = make_lab("data", train=32, val=15)
    configure(lab, total_epochs=50)
    return lab


def configure(lab: Lab, batch: int = 4, **changes: Any) -> None:
    lab.configure(**{"data": {"videos_per_gpu": batch, "test_clips": 2}} | changes)


def moved_start(lab: Lab) -> str:
    """Write weights off their start, where gradients of alpha and beta are only rounding."""
    torch.manual_seed(0)
    model = ProtoGCN(TrainConfig.model_validate(merged(CONFIG, {"model": NO_DROPOUT})).model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    torch.save({"state_dict": model.state_dict()}, lab.root / "start.pth")
    return "/data/start.pth"


def test_two_processes_train_what_one_does(lab: Lab) -> None:
    """Compare losses, evaluations and weights of two epochs, in float64 to 1e-8."""
    same = {
        "model": NO_DROPOUT,
        "optimizer": {"lr": 0.01},
        "total_epochs": 2,
        "load_from": moved_start(lab),
    }
    configure(lab, batch=8, **same)
    assert lab.run(FLOAT64, "one", **OWN)[0] == 0
    configure(lab, batch=4, **same)
    for job, command in (("launched", FLOAT64), ("torchrun", [*TORCHRUN, *FLOAT64[1:]])):
        process = lab.start(command, job, **TWO, **OWN)
        out, err = process.communicate(timeout=240)  # torchrun itself writes to stderr
        assert process.returncode == 0, err
        # only the first process prints
        assert (
            out.splitlines() == (lab.folder.with_name(job) / "train.log").read_text().splitlines()
        )
        assert_almost_same_training(lab, "one", job)


def assert_almost_same_training(lab: Lab, one: str, two: str) -> None:
    ours, theirs = lab.checkpoint(two), lab.checkpoint(one)
    assert theirs["memory"].dtype == torch.float64
    for name, value in theirs["state_dict"].items():
        torch.testing.assert_close(
            ours["state_dict"][name],
            value,
            rtol=1e-8,
            atol=1e-8,
            msg=lambda text, name=name: f"{name}: {text}",
        )
    torch.testing.assert_close(ours["memory"], theirs["memory"], rtol=1e-8, atol=1e-8)
    for key, tolerance in (("loss", 1e-8), ("top1", 0), ("top5", 0)):
        ours_by_epoch, theirs_by_epoch = (
            [line[key] for line in lab.metrics("epoch", job)] for job in (two, one)
        )
        assert ours_by_epoch == pytest.approx(theirs_by_epoch, rel=tolerance)
    results = [
        json.loads((lab.folder.with_name(job) / "result.json").read_text()) for job in (one, two)
    ]
    assert results[0]["test_top1"] == results[1]["test_top1"]


def test_a_stopped_group_that_lost_a_process_resumes_to_the_same_training(lab: Lab) -> None:
    """Each process draws its own dropout, so that each one's random state matters."""
    configure(lab, total_epochs=6)
    assert lab.run(job="whole", **TWO)[0] == 0
    process = lab.start(**TWO)
    read_until(process, "epoch 2/6 step 1/4")
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, "")
    assert out.count("stopped by SIGTERM after") == 1
    process = lab.start(**TWO)
    read_until(process, "epoch 5/6 step 1/4")
    kill_the_second(process)
    code, lines = lab.run(**TWO)
    assert code == 0
    assert re.match(r"resuming from .*latest\.pth after [45] epochs and 0 steps$", lines[0])
    assert_same_training(lab.folder, lab.folder.with_name("whole"))


def kill_the_second(process: subprocess.Popen[str]) -> None:
    """Check that all processes end and that one logs the reason."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    second = next(
        pid for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()
    )
    os.kill(int(second), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.SIGKILL, "")
    assert "process 1 of the training was ended by SIGKILL" in out
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


def test_sigterm_to_torchrun_leaves_one_checkpoint_to_resume_from(lab: Lab) -> None:
    process = lab.start([*TORCHRUN, *TRAIN_PY[1:]])
    read_until(process, "epoch 2/50 step 1/4")
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1  # torchrun's exit code for every failure
    assert out.count("stopped by SIGTERM after") == 1
    assert lab.checkpoint()["progress"]["epoch"] >= 1
    process = lab.start([*TORCHRUN, *TRAIN_PY[1:]])
    read_until(process, "resuming from")
    process.kill()
    process.communicate(timeout=30)  # its processes hold the pipes, so they are gone as well


def test_processes_do_not_outlive_train_py(lab: Lab) -> None:
    process = lab.start(**TWO)
    read_until(process, "epoch 1/50 step 2/4")
    process.kill()
    process.communicate(timeout=30)


def test_a_process_that_fails_ends_all_with_its_sentence_and_code(lab: Lab) -> None:
    (lab.root / "failing.py").write_text(FAILING)
    code, lines = lab.run([sys.executable, str(lab.root / "failing.py")], **TWO, **OWN)
    assert (code, lines) == (2, ["process 1: this process reads something else"])


def test_a_failure_of_all_processes_is_reported_once_with_its_code(lab: Lab) -> None:
    configure(lab, data={"no_such_key": 1})
    code, lines = lab.run(**TWO)
    assert (code, len(lines)) == (2, 1)
    assert "unknown key data.no_such_key" in lines[0]


def test_a_missing_promised_gpu_is_reported_once(lab: Lab) -> None:
    code, lines = lab.run(**TWO, REQUIRE_GPU="true")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("a GPU was promised (REQUIRE_GPU=true), but PyTorch ")
    assert not (lab.folder / "metrics.jsonl").exists()


def test_a_finished_run_ends_all_at_once(lab: Lab) -> None:
    configure(lab, total_epochs=1)
    assert lab.run()[0] == 0
    code, lines = lab.run(**TWO)
    assert (code, len(lines)) == (0, 1)
    assert "has already finished" in lines[0]
