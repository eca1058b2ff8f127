"""Several processes of one training on this machine, where the environment gives it several GPUs.

torchrun does as much, but answers every failure with exit code 1 and a page of text, and the queue needs the codes.
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

GRACE_S = 5.0  # for the others, once one has failed: they notice and end, or wait for it for ever
POLL_S = 0.05


def processes(environment: Mapping[str, str]) -> int:
    """TRAIN_PROCESSES, else as many as CUDA_VISIBLE_DEVICES names GPUs; 1 in one of them; raises ConfigError."""
    if "WORLD_SIZE" in environment:  # started here or by torchrun
        return 1
    if asked := environment.get("TRAIN_PROCESSES"):
        if not (asked.isascii() and asked.isdigit() and int(asked)):
            raise ConfigError(
                f"TRAIN_PROCESSES must be a whole number from 1 up, not {asked!r}; or leave it out"
            )
        return int(asked)
    return max(
        1,
        len(
            [
                name
                for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
                if name.strip()
            ]
        ),
    )


def launch(command: Sequence[str], count: int, environment: Mapping[str, str] = os.environ) -> int:
    """Runs the command `count` times as one group; the exit code of the first that failed, else 0."""
    group = _Launched()
    signal.signal(signal.SIGTERM, group.stop)
    signal.signal(signal.SIGINT, group.stop)
    common = (
        dict(environment)
        | _meeting_point()
        | {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    )
    for rank in range(count):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        group.all.append(
            subprocess.Popen(command, env=common | place, preexec_fn=die_with(os.getpid()))
        )
    return group.wait()


class _Launched:
    """The processes of one group, by rank."""

    def __init__(self) -> None:
        self.all: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    def stop(self, *_signal: object) -> None:
        self._stopped = True
        self._signal(signal.SIGTERM)

    def wait(self) -> int:
        """Until all have ended; those that do not notice in time that another has failed are killed."""
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
        for process in self.all:
            process.wait()
        if not causes:
            how = "the processes of the training lost each other (train.log says how)"
            print(f"{how}; the last checkpoint is kept, retry", flush=True)
        rank, code = next(iter(causes.items()), (0, FAILED))
        if self._stopped and code == -signal.SIGTERM:  # before it could listen
            return TERMINATED
        if code < 0:
            name = signal.Signals(-code).name
            print(
                f"process {rank} of the training was ended by {name}; the last checkpoint is kept, retry",
                flush=True,
            )
        return code if code > 0 else 128 - code

    def _running(self) -> bool:
        return None in [
            process.poll() for process in self.all
        ]  # all are asked: `any` would stop at the first

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
    """This program again."""
    return [sys.executable, *sys.argv]
