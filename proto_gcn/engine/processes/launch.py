"""Start several processes of one training on this machine, one for each GPU that it has.

torchrun does the same, but turns every failure into exit code 1 and a page of text, and the queue
needs the exit codes.
"""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from proto_gcn.child_process import die_with
from proto_gcn.errors import FAILED, LOST, TERMINATED, ConfigError

#: Once one process has failed, the others notice and end within this time, or never.
GRACE_S = 5.0
POLL_S = 0.05


def process_count(environment: Mapping[str, str]) -> int:
    """Return TRAIN_PROCESSES, else the number of GPUs in CUDA_VISIBLE_DEVICES, at least 1."""
    if "WORLD_SIZE" in environment:  # this process was started here or by torchrun
        return 1
    if asked := environment.get("TRAIN_PROCESSES"):
        if not (asked.isascii() and asked.isdigit() and int(asked)):
            raise ConfigError(
                f"TRAIN_PROCESSES must be a whole number from 1 up, not {asked!r}; or leave it out"
            )
        return int(asked)
    gpus = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return max(1, len(gpus))


def launch(command: Sequence[str], count: int, environment: Mapping[str, str] = os.environ) -> int:
    """Run the command `count` times as one group.

    Returns the exit code of the first process that failed, else 0.
    """
    group = _Launched()
    signal.signal(signal.SIGTERM, group.stop)
    signal.signal(signal.SIGINT, group.stop)
    sizes = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    common = dict(environment) | _meeting_point() | sizes
    for rank in range(count):
        own = common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        group.start(command, own)
    return group.wait()


class _Launched:
    """The processes of one group, by rank."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start one more process."""
        dies_with_us = die_with(os.getpid())
        self.all.append(subprocess.Popen(command, env=environment, preexec_fn=dies_with_us))

    def stop(self, *_signal: object) -> None:
        """Pass SIGTERM on to all processes."""
        self._stopped = True
        self._signal(signal.SIGTERM)

    def wait(self) -> int:
        """Wait until all have ended; kills those that do not notice in time that one has failed."""
        causes: dict[int, int] = {}
        deadline = math.inf
        while True:
            running, failed = self._running(), self._failed()
            causes = causes or {rank: code for rank, code in failed.items() if code != LOST}
            if failed:
                deadline = min(deadline, time.monotonic() + GRACE_S)
            if not running or time.monotonic() >= deadline:
                self._signal(signal.SIGKILL)
                return self._verdict(causes) if failed else 0
            time.sleep(POLL_S)

    def _verdict(self, causes: dict[int, int]) -> int:
        """Return the exit code of the first cause, and print what no process could print itself."""
        for process in self.all:
            process.wait()
        if not causes:
            how = "the processes of the training lost contact (see train.log)"
            print(f"{how}; the last checkpoint is kept, retry", flush=True)
        rank, code = next(iter(causes.items()), (0, FAILED))
        if self._stopped and code == -signal.SIGTERM:  # before it could listen
            return TERMINATED
        if code < 0:
            how = f"process {rank} of the training was ended by {signal.Signals(-code).name}"
            print(f"{how}; the last checkpoint is kept, retry", flush=True)
        return code if code > 0 else 128 - code

    def _running(self) -> bool:
        # A list polls all of them: `any` would stop at the first.
        return None in [process.poll() for process in self.all]

    def _failed(self) -> dict[int, int]:
        return {
            rank: process.returncode for rank, process in enumerate(self.all) if process.returncode
        }

    def _signal(self, number: int) -> None:
        for process in self.all:
            if process.poll() is None:
                process.send_signal(number)


def _meeting_point() -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def command() -> list[str]:
    """Return the command line of this program."""
    return [sys.executable, *sys.argv]
