"""A folder in place of /data, with a job that trains a tiny network on a tiny data set."""

import json
import os
import pickle
import signal
import subprocess
import sys
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import yaml

from proto_gcn.config.file import merged
from proto_gcn.data import synthetic
from tests.training import forked
from tests.training.forked import Hook

ROOT = Path(synthetic.__file__).parents[2]
TRAIN_PY = [sys.executable, str(ROOT / "proto_gcn" / "train.py")]
BATCH, EPOCHS, STEPS, CHANCE = 4, 4, 6, 50.0
CONFIG: dict[str, Any] = {
    "model": {
        "backbone": {"base_channels": 8, "num_stages": 2, "num_person": 1, "num_prototype": 4},
        "cls_head": {"num_classes": 2},
    },
    "data": {
        "ann_file": "/data/datasets/tiny.pkl",
        "clip_len": 8,
        "num_person": 1,
        "videos_per_gpu": BATCH,
        "workers_per_gpu": 0,
    },
    "optimizer": {"lr": 0.2},  # the best epoch is neither the first nor the last then
    "seed": 1,
    "log_config": {"interval": 1},
    "total_epochs": EPOCHS,
}


class Lab:
    """Trains one job at a time, in real processes or forked ones."""

    def __init__(self, root: Path, train: int = BATCH * STEPS, val: int = 16) -> None:
        self.root = root
        self.folder = root / "ann" / "runs" / "ann_1"
        self.latest = self.folder / "checkpoints" / "latest.pth"
        self.best = self.folder / "checkpoints" / "best.pth"
        self.running: list[subprocess.Popen[str]] = []
        self.forked: list[tuple[BaseProcess, Connection]] = []
        (root / "datasets").mkdir(parents=True)
        (root / "datasets" / "tiny.pkl").write_bytes(data_file(train, val))
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Set other values for keys of CONFIG; the other keys of a section keep theirs."""
        (self.root / "config.yaml").write_text(yaml.safe_dump(merged(CONFIG, changes)))

    def environment(self, job: str = "ann_1") -> dict[str, str]:
        fixed = {
            "CONFIG_FILE": str(self.root / "config.yaml"),
            "WORK_DIR": "/data/ann",
            "JOB_ID": job,
        }
        place = {"DATA_ROOT": str(self.root), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        return fixed | place | {"GPUQ_TESTING": "1"}

    def start(
        self, command: list[str] = TRAIN_PY, job: str = "ann_1", **environment: str
    ) -> subprocess.Popen[str]:
        """Start `python train.py`, or another command, in a process group of its own."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | self.environment(job) | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def run(
        self, command: list[str] = TRAIN_PY, job: str = "ann_1", **environment: str
    ) -> tuple[int, list[str]]:
        """Return (exit code, lines of stdout); fails if anything was written to stderr."""
        process = self.start(command, job, **environment)
        out, err = process.communicate(timeout=240)
        assert err == ""
        return process.returncode, out.splitlines()

    def start_forked(self, *hooks: Hook, **environment: str) -> BaseProcess:
        self.forked.append(forked.start(self.environment() | environment, hooks))
        return self.forked[-1][0]

    def fork(self, *hooks: Hook, **environment: str) -> tuple[int | None, list[str]]:
        """Return (exit code, lines of stdout and stderr) of a forked process.

        The code is negative for a signal.
        """
        process = self.start_forked(*hooks, **environment)
        process.join(timeout=120)
        assert process.exitcode is not None, "it hangs"
        with os.fdopen(os.dup(self.forked[-1][1].fileno())) as output:
            return process.exitcode, output.read().splitlines()

    def metrics(self, kind: str, job: str = "ann_1") -> list[dict[str, Any]]:
        lines = (self.folder.with_name(job) / "metrics.jsonl").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["kind"] == kind]

    def checkpoint(self, job: str = "ann_1") -> dict[str, Any]:
        return torch.load(
            self.folder.with_name(job) / "checkpoints" / "latest.pth", weights_only=True
        )

    def assert_done(self) -> None:
        result = json.loads((self.folder / "result.json").read_text())
        assert (result["status"], result["epochs"]) == ("succeeded", EPOCHS)
        assert [line["epoch"] for line in self.metrics("epoch")] == [1, 2, 3, 4]
        assert sorted(p.name for p in (self.folder / "checkpoints").iterdir()) == [
            "best.pth",
            "latest.pth",
        ]

    def close(self) -> None:
        """Kill all processes that still run, and those that they started."""
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        for one, output in self.forked:
            one.kill()
            one.join()
            output.close()


@cache
def data_file(train: int, val: int) -> bytes:
    return pickle.dumps(synthetic.make_dataset(seed=0, classes=2, train=train, val=val), protocol=4)


def read_until(process: subprocess.Popen[str], part: str) -> str:
    """Return the first line with that part; fails if there is none."""
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return line
    raise AssertionError(f"the process ended without printing {part!r}")
