"""The folder of one run, WORK_DIR/runs/JOB_ID: its files, and its lock."""

import fcntl
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.errors import BusyError, ConfigError

RETRY_S = 0.2


class RunFolder:
    """The paths of a run's files, and the kernel lock that keeps a second process out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.log = path / "train.log"
        self.metrics = path / "metrics.jsonl"
        self.result = path / "result.json"
        self.latest = path / "checkpoints" / "latest.pth"
        self.best = path / "checkpoints" / "best.pth"
        self.scores = path / "scores"
        self.report = path / "report.html"

    def create(self) -> None:
        """Create the folder; raises ConfigError if that is not possible."""
        try:
            self.latest.parent.mkdir(parents=True, exist_ok=True)
        except PermissionError as error:
            raise ConfigError(
                f"cannot create {self.path}: {error.strerror}; {_remedy(self.path)}"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"cannot create {self.path}: {error.strerror}; check WORK_DIR"
            ) from error

    @contextmanager
    def locked(self, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock.

        Waits up to wait_s for an earlier process, which may be writing its checkpoint, then raises
        BusyError. The kernel releases the lock with the process, however it ends.
        """
        with (self.path / "lock").open("a") as file:
            if not _taken(file.fileno()):
                say(f"waiting for another process that is training in {self.path}")
                self._wait(file.fileno(), wait_s)
            yield

    def _wait(self, descriptor: int, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"another process is training in {self.path}; waited {wait_s:g} s for it"
                )
            time.sleep(RETRY_S)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json, the last write of a run that succeeded."""
        write_atomically(self.result, (json.dumps(result, indent=2) + "\n").encode())


def _remedy(path: Path) -> str:
    """Return the command that opens the nearest existing folder above `path`.

    A kubelet creates a missing one as root.
    """
    # Path.exists may raise.
    folder = next(parent for parent in path.parents if os.path.exists(parent))  # noqa: PTH110
    owner = f"-o {os.geteuid()} -g {os.getegid()}"
    return f"on the node that has it: sudo install -d {owner} {shlex.quote(str(folder))}"


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
