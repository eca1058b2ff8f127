"""These tests run `python -m resource_monitor`, send it HTTP requests and stop it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import requests

from devtools.testbed.monitor import COMMAND, Monitor, eventually, monitors


@pytest.fixture
def start() -> Iterator[Callable[..., Monitor]]:
    with monitors() as start:
        yield start


@pytest.fixture
def monitor(start: Callable[..., Monitor]) -> Monitor:
    """Provide a monitor that is ready: its server, its worker and its sampler."""
    running = start()
    eventually(lambda: running.code("/readyz") == 200)
    assert len(running.find_family()) == 3
    return running


def test_ready_only_after_the_second_sample(start: Callable[..., Monitor]) -> None:
    monitor = start(SAMPLE_PERIOD_S="1")
    eventually(lambda: monitor.code("/healthz") == 200)
    assert monitor.code("/readyz") == 503
    assert [reason.code for reason in monitor.status().reasons] == ["starting"]
    eventually(lambda: monitor.code("/readyz") == 200)


def test_the_status_is_about_this_machine_and_is_updated(monitor: Monitor) -> None:
    status = monitor.status()
    assert (status.node, status.thresholds.cpu_percent) == ("gpu-1", None)
    assert status.memory.total_mb == psutil.virtual_memory().total // 2**20
    assert status.age_s is not None
    assert status.age_s < 1.5
    ages = [status.age_s]
    eventually(
        lambda: ages.append(monitor.status("?window_s=0.1").age_s or 0) or ages[-1] < ages[-2]
    )


def test_a_threshold_of_zero_makes_every_node_busy(
    start: Callable[..., Monitor],
) -> None:
    monitor = start(CPU_PERCENT="0")
    eventually(lambda: monitor.code("/readyz") == 200)
    status = monitor.status()
    assert not status.available
    assert [reason.code for reason in status.reasons] == ["cpu_busy"]


def test_wrong_windows_and_paths_are_problems(monitor: Monitor) -> None:
    assert monitor.code("/status?window_s=11") == 400
    assert monitor.code("/status?window_s=0") == 400
    assert monitor.code("/nope") == 404


def test_sigterm_ends_everything_within_two_seconds(monitor: Monitor) -> None:
    with requests.Session() as session:  # this client keeps its connection open
        session.get(f"{monitor.url}/status", timeout=5)
        began = time.monotonic()
        monitor.process.send_signal(signal.SIGTERM)
        assert monitor.process.wait(10) == 0
        assert psutil.wait_procs(monitor.family[1:], timeout=1)[1] == []
        assert time.monotonic() - began < 2


def test_sigkill_of_the_server_leaves_no_sampler(monitor: Monitor) -> None:
    monitor.process.kill()
    assert psutil.wait_procs(monitor.family[1:], timeout=10)[1] == []


def test_a_killed_sampler_is_replaced(monitor: Monitor) -> None:
    sampler = monitor.family[2]
    assert "resource_monitor.sampler_process" in sampler.cmdline()
    sampler.kill()
    eventually(lambda: sampler.pid not in [process.pid for process in monitor.find_family()])
    eventually(lambda: len(monitor.find_family()) == 3 and monitor.code("/readyz") == 200)


def test_the_sampler_of_a_killed_worker_ends_and_the_worker_is_replaced(monitor: Monitor) -> None:
    _, worker, sampler = monitor.family
    worker.kill()
    assert psutil.wait_procs([sampler], timeout=10)[1] == []
    eventually(lambda: monitor.code("/readyz") == 200)
    assert len(monitor.find_family()) == 3


def test_a_port_in_use_is_one_sentence_and_exit_1(monitor: Monitor) -> None:
    port = monitor.url.rpartition(":")[2]
    done = subprocess.run(
        COMMAND, env=os.environ | {"MONITOR_PORT": port}, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use." in done.stderr


def test_each_wrong_setting_is_reported_in_a_sentence_and_exits_with_2() -> None:
    wrong = {"CPU_PERCENT": "many", "REQUIRE_GPU": "perhaps"}
    done = subprocess.run(
        COMMAND, env=os.environ | wrong, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert [line.partition("=")[0] for line in done.stderr.splitlines()] == [
        "REQUIRE_GPU",
        "CPU_PERCENT",
    ]
