"""Measure how fast /healthz answers while all followers' places are taken, or all of them wait.

A real queue manager on gunicorn with the shipped number of threads; the log grows ten times a
second.
"""

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from benchmarks.result import Result, p99
from devtools.testbed.system import System, running_system, wait_for

FOLLOWERS = 32
ASKED = 300
PAUSE_S = 0.02


def run() -> list[Result]:
    """Return median and p99 of GET /healthz with a new connection each, as a probe has."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(Path(folder) / "system", "redis", "queue_manager") as system,
    ):
        job_id = system.submitted("u1", {"seconds": 1})
        url = f"{system.api}/jobs/{job_id}"
        with _growing_log(system, job_id), _connected(f"{url}/logs?follow=1"):
            follow_s = _health_s(system)
        wait_for("the places are free again", lambda: _is_free(f"{url}?wait=1"), 10)
        with _waiting(f"{url}?wait=60"):
            wait_s = _health_s(system)
    return [
        *_results(f"GET /healthz while {FOLLOWERS} follow a log", follow_s),
        *_results(f"GET /healthz while {FOLLOWERS} wait for a change", wait_s),
    ]


def _results(name: str, seconds: list[float]) -> list[Result]:
    return [
        Result(f"{name}, median", statistics.median(seconds), "s", 0.1),
        Result(f"{name}, p99", p99(seconds), "s", 0.1),
    ]


def _health_s(system: System) -> list[float]:
    spent = []
    for _ in range(ASKED):
        time.sleep(PAUSE_S)
        began = time.perf_counter()
        assert requests.get(f"{system.api}/healthz", timeout=5).status_code == 200
        spent.append(time.perf_counter() - began)
    return spent


@contextlib.contextmanager
def _growing_log(system: System, job_id: str) -> Iterator[None]:
    path = system.folder / "data" / "u1" / "runs" / job_id / "train.log"
    path.parent.mkdir(parents=True)
    stopping = threading.Event()

    def grow() -> None:
        with path.open("a", buffering=1) as log:
            while not stopping.wait(0.1):
                log.write("epoch 1/100 loss 1.23\n")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


@contextlib.contextmanager
def _connected(url: str) -> Iterator[None]:
    """Check that all places are taken: the next follower is refused."""
    with contextlib.ExitStack() as stack:
        for _ in range(FOLLOWERS):
            answer = stack.enter_context(requests.get(url, stream=True, timeout=30))
            assert answer.status_code == 200
        assert requests.get(url, timeout=5).status_code == 503
        yield


@contextlib.contextmanager
def _waiting(url: str) -> Iterator[None]:
    threads = [threading.Thread(target=_ask, args=(url,), daemon=True) for _ in range(FOLLOWERS)]
    for thread in threads:
        thread.start()
    wait_for("all places are taken", lambda: not _is_free(url.replace("wait=60", "wait=1")), 10)
    yield


def _ask(url: str) -> None:
    """Wait in one place; ask again if the check for a full server had taken that place."""
    with contextlib.suppress(requests.RequestException):  # it is cut when the system stops
        while requests.get(url, timeout=90).status_code == 503:
            time.sleep(0.2)


def _is_free(url: str) -> bool:
    return requests.get(url, timeout=5).status_code == 200
