"""Measure how fast the resource monitor answers while the driver is slow, and what it costs.

The monitor and nvidia-ml-py are real; libnvidia-ml.so.1 is the tests' fake, with one GPU.
"""

import http.client
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.result import Result, p99
from devtools.nvml.script import FakeNvml, compile_into, gpu
from devtools.testbed.monitor import Monitor, eventually, monitors

CALLS, SLOW_MS = 1000, 200
IDLE_S, POLL_S = 30.0, 10.0  # the scheduler asks every 10 s


def run() -> list[Result]:
    """p99 of /status, and the CPU of all the monitor's processes."""
    with tempfile.TemporaryDirectory() as folder, monitors() as start:
        nvml = FakeNvml(compile_into(Path(folder)), Path(folder) / "nvml.txt")
        nvml.says(gpu(), f"delay_ms {SLOW_MS}")
        slow = start(**nvml.env, LOG_LEVEL="WARNING")
        eventually(lambda: slow.code("/readyz") == 200)
        times = [_ask(slow) for _ in range(CALLS)]
        assert slow.status().available
        _end(slow)
        nvml.says(gpu())
        well = start(**nvml.env, LOG_LEVEL="WARNING")
        eventually(lambda: well.code("/readyz") == 200)
        share = _cpu_share(well)
    return [
        Result(
            f"monitor's /status while NVML takes {SLOW_MS} ms a call, p99",
            1000 * p99(times),
            "ms",
            10,
        ),
        Result("monitor's CPU, all its processes, of one core", 100 * share, "%", 1),
    ]


def _ask(monitor: Monitor) -> float:
    """Return the time (s) of one /status with a new connection, as the scheduler asks."""
    begin = time.perf_counter()
    connection = http.client.HTTPConnection(urlsplit(monitor.url).netloc, timeout=5)
    connection.request("GET", "/status")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    took_s = time.perf_counter() - begin
    assert answer.status == 200
    return took_s


def _cpu_share(monitor: Monitor) -> float:
    """Return the CPU seconds per second over IDLE_S, with a /status every POLL_S."""
    family = monitor.find_family()
    before, begin = _cpu_s(family), time.monotonic()
    while time.monotonic() - begin < IDLE_S:
        _ask(monitor)
        time.sleep(POLL_S)
    return (_cpu_s(family) - before) / (time.monotonic() - begin)


def _cpu_s(family: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in family))


def _end(monitor: Monitor) -> None:
    monitor.process.terminate()
    monitor.process.wait(10)
