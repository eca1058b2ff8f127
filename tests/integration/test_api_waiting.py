"""The real API where it holds connections open, and where a request is not HTTP, or comes through a
proxy.
"""

import contextlib
import signal
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import requests

from devtools.testbed.system import System, running_system, wait_for


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("waiting"), "redis", "queue_manager") as system:
        yield system


@pytest.fixture
def api(shared: System) -> System:
    redis.Redis.from_url(shared.redis_url).flushall()
    return shared


# -- those who wait and those who follow ---------------------------------------------------------


def test_a_wait_ends_with_the_change(api: System) -> None:
    queued = api.submitted("user1")
    threading.Timer(0.5, requests.delete, (f"{api.api}/jobs/{queued}",), {"timeout": 5}).start()
    began = time.monotonic()
    answer = requests.get(f"{api.api}/status/user1?wait=30", timeout=40)
    assert time.monotonic() - began < 3
    assert answer.json()["status"] == "cancelled"


def test_a_client_that_goes_away_gives_its_place_back(api: System) -> None:
    queued = api.submitted("user1")
    url = f"{api.api}/jobs/{queued}?wait=60"
    waiting = [socket.create_connection(("127.0.0.1", api.api_port)) for _ in range(32)]
    for connection in waiting:
        connection.sendall(
            f"GET /jobs/{queued}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
    wait_for("all places are taken", lambda: status_of(url, 0.5) == 503, 10)
    for connection in waiting:
        connection.close()
    wait_for(
        "a place is free again", lambda: status_of(f"{api.api}/jobs/{queued}?wait=1", 5) == 200, 10
    )


def status_of(url: str, timeout_s: float) -> int | None:
    try:
        return requests.get(url, timeout=timeout_s).status_code
    except requests.Timeout:
        return None


def test_32_followers_leave_health_quick_and_the_33rd_is_told(api: System) -> None:
    queued = api.submitted("user1")
    url = f"{api.api}/jobs/{queued}/logs?follow=1"
    with contextlib.ExitStack() as stack:
        wait_for(
            "no place is taken", lambda: status_of(f"{api.api}/jobs/{queued}?wait=1", 5) == 200, 10
        )
        followers = [
            stack.enter_context(requests.get(url, stream=True, timeout=10)) for _ in range(32)
        ]
        assert {follower.status_code for follower in followers} == {200}
        for refused in (
            requests.get(url, timeout=5),
            requests.get(f"{api.api}/jobs/{queued}?wait=9", timeout=5),
        ):
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert "Limit of 32 open ?follow/?wait requests reached" in refused.json()["error"]
        assert statistics.median(health_s(api) for _ in range(10)) < 0.5
    wait_for(
        "the places are free again",
        lambda: status_of(f"{api.api}/jobs/{queued}?wait=1", 5) == 200,
        10,
    )


def health_s(system: System) -> float:
    began = time.monotonic()
    assert requests.get(f"{system.api}/healthz", timeout=5).status_code == 200
    return time.monotonic() - began


# -- requests that are not HTTP ------------------------------------------------------------------

LONG = "x" * 9000


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("NONSENSE\r\n\r\n", 400),
        ("GET /queue HTTP/9.9\r\n\r\n", 400),
        (f"GET /{LONG} HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (f"GET /queue HTTP/1.1\r\nHost: localhost\r\nX-Long: {LONG}\r\n\r\n", 431),
        ("GET /queue HTTP/1.1\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(200)) + "\r\n", 431),
        ("GET /queue HTTP/1.1\r\nHost: localhost\r\nBad Name: 1\r\n\r\n", 400),
        ("POST /submit HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: brotli\r\n\r\n", 501),
        (
            "POST /submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            400,
        ),
        ("GET /queue HTTP/1.1\r\nHost: localhost\r\nSCRIPT_NAME: /elsewhere\r\n\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Prefix: /evil\r\n\r\n", 200),
    ],
    ids=lambda value: str(value)[:40].replace("\r\n", " "),
)
def test_a_request_that_is_not_http_is_answered_with_a_problem(
    api: System, request_text: str, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", api.api_port), timeout=5) as connection:
        connection.sendall(request_text.encode())
        connection.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, body = told.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), told
    if status != 200:
        assert "Content-Type: application/problem+json" in head
        assert f'"status": {status}' in body
        assert "X-Request-Id: " in head
    assert "<html" not in told


def test_sigterm_ends_it_soon_while_somebody_waits(tmp_path: Path) -> None:
    with running_system(tmp_path / "system", "redis", "queue_manager") as system:
        job_id = system.submitted("user1")
        with socket.create_connection(("127.0.0.1", system.api_port)) as waiting:
            waiting.sendall(
                f"GET /jobs/{job_id}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            time.sleep(0.5)
            process = system.processes.pop("queue_manager")
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 4  # gunicorn's grace, and a pause


def test_the_request_id_is_in_the_answer_and_in_the_log(api: System) -> None:
    body = {"user": "user1", "config": {"seconds": 1}, "workdir": "/data/user1", "workflow": "toy"}
    headers = {"X-Request-Id": "r-of-mine.1"}
    answer = requests.post(f"{api.api}/submit", json=body, headers=headers, timeout=5)
    assert answer.headers["X-Request-Id"] == "r-of-mine.1"
    wait_for("the log has it", lambda: '"request_id": "r-of-mine.1"' in api.log("queue_manager"))


def test_behind_a_proxy_with_a_prefix(tmp_path: Path) -> None:
    with running_system(
        tmp_path / "system", "redis", "queue_manager", TRUSTED_PROXIES="1"
    ) as system:
        body = {
            "user": "user1",
            "config": {"seconds": 1},
            "workdir": "/data/user1",
            "workflow": "toy",
        }
        headers = {"X-Forwarded-Prefix": "/gpuq", "X-Forwarded-For": "10.0.0.1"}
        answer = requests.post(f"{system.api}/submit", json=body, headers=headers, timeout=5)
        assert (
            answer.headers["Location"]
            == f"/gpuq/jobs/{answer.json()['job_id']}"
            == answer.json()["links"]["job"]
        )
