"""The worker processes of the loader: the errors that they raise, and when they end."""

import ctypes
import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proto_gcn.config.train import TrainConfig
from proto_gcn.data import dataset
from proto_gcn.data.dataset import Loader, SkeletonDataset, make_loader
from proto_gcn.data.samples import Samples
from proto_gcn.errors import DataError
from tests.unit.proto_gcn.loader_workers import stopping

PR_GET_PDEATHSIG = 2
ROOT = Path(dataset.__file__).parents[2]


class Keypoints(list[Any]):
    """Clips of one person; the one with the number `bad` cannot be read."""

    def __init__(self, size: int, bad: int | None = None) -> None:
        super().__init__(
            np.random.default_rng(n).random((1, 9, 25, 3), np.float32) for n in range(size)
        )
        self.bad = bad

    def __getitem__(self, index: Any) -> Any:
        if index == self.bad:
            raise DataError(f"kp/{index}.pkl: sample {index} is cut off")
        return super().__getitem__(index)


def loader_of(
    config: TrainConfig, workers: int, bad: int | None = None, clips: int = 0, batch: int = 2
) -> Loader:
    none = np.zeros(12, np.int64)
    samples = Samples([str(n) for n in range(12)], none, none, Keypoints(12, bad))
    data = config.data.model_copy(update={"workers_per_gpu": workers, "videos_per_gpu": batch})
    return make_loader(SkeletonDataset(samples, config, clips), data, seed=None)


@pytest.fixture(autouse=True)
def _cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_cannot_be_read_is_reported_after_the_batches_before_it(
    config: TrainConfig, workers: int
) -> None:
    with stopping(loader_of(config, workers, bad=5)) as loader:
        batches = iter(loader)
        assert [len(next(batches)[0]) for _ in range(2)] == [2, 2]
        with pytest.raises(DataError, match=r"^kp/5\.pkl: sample 5 is cut off$"):
            next(batches)


@pytest.mark.parametrize(
    ("clips", "batch", "wanted"),
    [(0, 8, [8, 4]), (4, 8, [2] * 6), (3, 8, [2] * 6), (10, 4, [1] * 12)],
)
def test_an_evaluation_batch_holds_no_more_clips_than_a_training_batch(
    config: TrainConfig, clips: int, batch: int, wanted: list[int]
) -> None:
    loader = loader_of(config, 0, clips=clips, batch=batch)
    assert [len(some) for some, _ in loader] == wanted
    assert len(loader) == len(wanted)


FORK = multiprocessing.get_context("fork")
Batches = Iterator[Any]
Start = Callable[..., tuple[BaseProcess, list[int]]]


@pytest.fixture
def start(config: TrainConfig) -> Iterator[Start]:
    """Start a process whose loader has two workers; return it and the pids of the workers.

    The process reads one batch and then calls `act` with the others. It is forked, because a new
    interpreter would take seconds to import PyTorch.
    """
    all_processes: list[BaseProcess] = []

    def started(act: Callable[[Batches], None], bad: int | None = None) -> Any:
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=_read_batches, args=(config, act, bad, theirs))
        process.start()
        all_processes.append(process)
        pids = ours.recv()
        assert len(pids) == 2
        return process, pids

    yield started
    for process in all_processes:
        process.kill()
        process.join()


def _read_batches(
    config: TrainConfig, act: Callable[[Batches], None], bad: int | None, pids: Connection
) -> None:
    os.setsid()
    batches = iter(loader_of(config, workers=2, bad=bad))
    next(batches)
    pids.send([worker.pid for worker in multiprocessing.active_children()])
    act(batches)


def assert_ended(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


FAILING_PROGRAM = """
import os
os.sched_getaffinity = lambda _: {0, 1}
from multiprocessing import active_children
from proto_gcn.config.train import TrainConfig
from tests.unit.proto_gcn.data.test_loader import loader_of
config = TrainConfig.model_validate({"data": {"ann_file": "x", "clip_len": 8}})
loader = loader_of(config, workers=2, bad=7)
batches = iter(loader)
next(batches)
print(*[worker.pid for worker in active_children()], flush=True)
list(batches)
"""


def test_an_interpreter_that_fails_while_its_workers_are_busy_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING_PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=180,  # mostly the import of PyTorch
        check=False,
    )
    assert done.returncode == 1
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    assert_ended(pids)


def test_workers_are_killed_with_their_trainer(start: Start) -> None:
    process, pids = start(lambda _: time.sleep(60))
    process.kill()
    process.join(10)
    assert_ended(pids)


def _exit_with_parent_death_signal() -> None:
    dataset._join_loader(os.getppid(), 0)
    sent = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(sent))
    os._exit(sent.value)


def test_the_kernel_kills_a_worker_without_its_help() -> None:
    """PyTorch's workers check for their parent every 5 s, and one that hangs in a read does not."""
    child = FORK.Process(target=_exit_with_parent_death_signal)
    child.start()
    child.join(30)
    assert child.exitcode == signal.SIGKILL


def test_a_signal_to_the_process_group_reaches_the_trainer_alone(start: Start) -> None:
    ours, theirs = FORK.Pipe(duplex=False)

    def read_after_sigterm(batches: Batches) -> None:
        received: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
        theirs.send("ready")
        while not received:
            time.sleep(0.01)
        theirs.send(len(list(batches)))

    process, pids = start(read_after_sigterm)
    assert ours.recv() == "ready"
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGTERM)
    assert ours.recv() == 5
    process.join(60)
    assert process.exitcode == 0
    assert_ended(pids)


def test_an_os_error_in_a_worker_keeps_its_number_and_file_name(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: Any) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/data/kp/5.pkl")

    monkeypatch.setattr(SkeletonDataset, "_batch", stale)
    with (
        stopping(loader_of(config, 2)) as loader,
        pytest.raises(OSError, match="handle") as raised,
    ):
        next(iter(loader))
    assert (raised.value.errno, raised.value.filename) == (errno.ESTALE, "/data/kp/5.pkl")
