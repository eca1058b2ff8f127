"""This module runs the real monitor (`python -m resource_monitor`) for tests and benchmarks."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import requests

from devtools.testbed.system import free_port
from jobqueue.resources import NodeSnapshot

COMMAND = [sys.executable, "-m", "resource_monitor"]


def eventually(holds: Callable[[], object], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.02)


@dataclass
class Monitor:
    """A running monitor."""

    process: subprocess.Popen[bytes]
    url: str
    family: list[psutil.Process] = field(default_factory=list)

    def code(self, path: str) -> int | None:
        try:
            return requests.get(self.url + path, timeout=5).status_code
        except requests.ConnectionError:
            return None

    def status(self, query: str = "") -> NodeSnapshot:
        return NodeSnapshot.decode(requests.get(f"{self.url}/status{query}", timeout=5).content)

    def find_family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        self.family = [parent, *parent.children(recursive=True)]
        return self.family


@contextlib.contextmanager
def monitors() -> Iterator[Callable[..., Monitor]]:
    """A function that starts a monitor with further settings; all are ended in the end."""
    started: list[Monitor] = []

    def run(**env: str) -> Monitor:
        port = free_port()
        settings = {
            "MONITOR_PORT": str(port),
            "REQUIRE_GPU": "false",
            "NODE_NAME": "gpu-1",
            "CPU_PERCENT": "off",
        } | env
        process = subprocess.Popen(COMMAND, env=os.environ | settings)
        started.append(Monitor(process, f"http://127.0.0.1:{port}"))
        return started[-1]

    try:
        yield run
    finally:
        for monitor in started:
            for process in monitor.family:
                if process.is_running():
                    process.kill()
            monitor.process.kill()
            monitor.process.wait()
