"""Health, and the form of problems: fields, request ids, internal errors."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.clock import rfc3339
from jobqueue.service.health import ProblemCode
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from queue_manager import create_app
from queue_manager.settings import QueueManagerSettings

HEARTBEAT = {
    "at": rfc3339(NOW),
    "summary": "",
    "poll_interval_s": 10,
    "halted": None,
    "holder": "me",
}


@pytest.fixture
def on_valkey() -> bool:
    """Run on a real server: /readyz needs INFO and CONFIG."""
    return True


def test_healthz_and_version_need_no_redis(settings: QueueManagerSettings) -> None:
    client = create_app(settings, Store.connect("redis://127.0.0.1:1/0")).test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/version").json == {"name": "gpuq", "version": "0.1.0"}


def test_ready_while_the_heartbeat_is_fresh(
    client: FlaskClient, leader: Leader, clock: FakeClock
) -> None:
    assert_not_ready(client, ProblemCode.SCHEDULER_NOT_RESPONDING, "has not reported yet")
    leader.observe(HEARTBEAT, {})
    clock.tick(30)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json
    assert answer.json["status"] == "ready"
    assert [warning["code"] for warning in answer.json["coded_warnings"]] == ["aof_off"]
    messages = [warning["message"] for warning in answer.json["coded_warnings"]]
    assert answer.json["warnings"] == messages
    clock.tick(1)
    assert_not_ready(
        client,
        ProblemCode.SCHEDULER_NOT_RESPONDING,
        f"The scheduler has not reported since {rfc3339(NOW)}",
    )


def assert_not_ready(client: FlaskClient, code: ProblemCode, says: str) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json
    assert answer.json["code"] == code
    assert says in answer.json["error"]


@pytest.mark.parametrize(
    ("heartbeat", "code", "says"),
    [
        (
            {**HEARTBEAT, "halted": {"since": "S", "why": "W.", "remedy": "R."}},
            ProblemCode.SCHEDULER_HALTED,
            "halted since S: W. R.",
        ),
        (
            {**HEARTBEAT, "halted": {"since": "S", "why": "W"}},
            ProblemCode.SCHEDULER_HALTED,
            "halted since S: W.",
        ),
        (
            {**HEARTBEAT, "at": "yesterday"},
            ProblemCode.SCHEDULER_HEARTBEAT_UNREADABLE,
            "heartbeat cannot be read",
        ),
        (
            {"at": rfc3339(NOW)},
            ProblemCode.SCHEDULER_HEARTBEAT_UNREADABLE,
            "heartbeat cannot be read",
        ),
        ([], ProblemCode.SCHEDULER_NOT_RESPONDING, "has not reported yet"),
    ],
)
def test_not_ready(
    client: FlaskClient, leader: Leader, heartbeat: Any, code: ProblemCode, says: str
) -> None:
    leader.observe(heartbeat, {})
    assert_not_ready(client, code, says)


def test_not_ready_with_a_heartbeat_that_is_not_json(
    client: FlaskClient, raw_redis: "redis.Redis"
) -> None:
    raw_redis.set("scheduler_heartbeat", "{")
    assert_not_ready(client, ProblemCode.SCHEDULER_NOT_RESPONDING, "has not reported yet")


def test_not_ready_on_an_evicting_redis(
    client: FlaskClient, leader: Leader, raw_redis: "redis.Redis"
) -> None:
    leader.observe(HEARTBEAT, {})
    raw_redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert_not_ready(client, ProblemCode.REDIS_EVICTS, "may evict queued jobs")
    finally:
        raw_redis.config_set("maxmemory-policy", "noeviction")


def test_not_ready_without_redis(settings: QueueManagerSettings) -> None:
    client = create_app(settings, Store.connect("redis://127.0.0.1:1/0")).test_client()
    assert_not_ready(client, ProblemCode.REDIS_UNAVAILABLE, "Redis cannot be reached")


# -- problems ------------------------------------------------------------------------------------


def test_the_fields_of_a_problem(client: FlaskClient) -> None:
    answer = client.get("/jbos", headers={"X-Request-Id": "r-1"})
    assert answer.content_type == "application/problem+json"
    assert answer.headers["X-Request-Id"] == "r-1"
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is no /jbos here; did you mean /jobs?",
        "instance": "/jbos",
        "error": "There is no /jbos here; did you mean /jobs?",
        "errors": [],
        "request_id": "r-1",
    }


def test_doubled_slashes_are_404_without_a_redirect(client: FlaskClient) -> None:
    answer = client.get("/status//user1")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_a_malformed_request_id_is_replaced(client: FlaskClient) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": "a b"})
    assert len(answer.headers["X-Request-Id"]) == 32


def test_a_wrong_method_names_the_allowed_ones(client: FlaskClient) -> None:
    answer = client.get("/submit")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert answer.json
    assert answer.json["error"] == "/submit takes POST, not GET."


def test_an_unreachable_redis_is_503_at_once(settings: QueueManagerSettings) -> None:
    client = create_app(settings, Store.connect("redis://127.0.0.1:1/0")).test_client()
    body = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
    for method, path in [
        ("POST", "/submit"),
        ("GET", "/status/user1"),
        ("GET", "/queue"),
        ("GET", "/jobs"),
        ("GET", "/jobs/x"),
        ("DELETE", "/jobs/x"),
        ("POST", "/jobs/x/retry"),
        ("GET", "/jobs/x/logs"),
        ("GET", "/nodes"),
        ("GET", "/readyz"),
    ]:
        answer = client.open(path, method=method, json=body if path == "/submit" else None)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json
        assert "Redis cannot be reached" in answer.json["error"]


class _BrokenStore:
    """A store that raises an unexpected error."""

    def running(self) -> list[Any]:
        raise ZeroDivisionError("a detail of gpuq")


def test_an_internal_error_is_logged_and_not_shown_to_the_client(
    settings: QueueManagerSettings,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = create_app(settings, _BrokenStore()).test_client()  # type: ignore[arg-type]
    answer = client.get("/status/user1", headers={"X-Request-Id": "r-7"})
    assert answer.status_code == 500
    assert answer.json
    assert "r-7" in answer.json["error"]
    assert "a detail of" not in answer.get_data(as_text=True)
    output = capsys.readouterr().out + caplog.text
    assert "ZeroDivisionError: a detail of gpuq" in output
    assert "r-7" in output


class _FadingStore:
    """A store whose Redis becomes unreachable right after the job was written."""

    def __init__(self, store: Store, unreachable: Store) -> None:
        self.enqueue, self.running, self.heartbeat = (
            store.enqueue,
            unreachable.running,
            unreachable.heartbeat,
        )


def test_a_written_job_is_acknowledged_even_without_an_estimate(
    settings: QueueManagerSettings, store: Store
) -> None:
    fading = _FadingStore(store, Store.connect("redis://127.0.0.1:1/0"))
    client = create_app(settings, fading).test_client()  # type: ignore[arg-type]
    answer = client.post(
        "/submit", json={"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
    )
    assert answer.status_code == 202
    assert answer.json
    assert (answer.json["position"], answer.json["estimated_wait"]) == (1, "unknown")


def test_links_include_the_path_prefix(make_app: Callable[..., Flask]) -> None:
    client = make_app().test_client()
    body = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
    answer = client.post("/submit", json=body, environ_overrides={"SCRIPT_NAME": "/gpuq"})
    assert answer.json
    assert (
        answer.headers["Location"]
        == f"/gpuq/jobs/{answer.json['job_id']}"
        == answer.json["links"]["job"]
    )
