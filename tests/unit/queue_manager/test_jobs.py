"""GET /jobs, GET /jobs/<id>, DELETE, retry, nodes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.clock import rfc3339
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.leader import Leader, Outcome

Submit = Callable[..., Any]
DONE = Reason(ReasonCode.SUCCEEDED, "The training finished.")
FAILED = Reason(ReasonCode.TRAINING_FAILED, "The training ended with exit code 1.")


def record(client: FlaskClient, job_id: str) -> dict[str, Any]:
    answer = client.get(f"/jobs/{job_id}")
    assert answer.status_code == 200
    assert answer.json
    return dict(answer.json)


@pytest.mark.usefixtures("working")
def test_a_queued_job(client: FlaskClient, submit: Submit) -> None:
    job_id = submit(name="first", gpus=2, time_limit_s=60).json["job_id"]
    shown = record(client, job_id)
    assert (shown["status"], shown["position"], shown["estimated_wait"]) == (
        "queued",
        1,
        "less than a minute",
    )
    assert (shown["name"], shown["gpus"], shown["time_limit_s"], shown["attempt"]) == (
        "first",
        2,
        60,
        1,
    )
    assert shown["run_folder"] == f"/data/user1/runs/{job_id}"
    assert (shown["result"], shown["log_tail"], shown["exit_code"]) == (None, [], None)
    assert [(step["from"], step["to"], step["code"]) for step in shown["timeline"]] == [
        ("", "queued", "submitted")
    ]


def test_a_succeeded_job_names_its_result_files(
    client: FlaskClient, submit: Submit, admit: Callable[..., None], leader: Leader, folders: Path
) -> None:
    job_id = submit().json["job_id"]
    admit(job_id)
    leader.finish(job_id, NOW + 60, Outcome(Phase.SUCCEEDED, DONE, Result(0, ("epoch 1", "done"))))
    folder = f"/data/user1/runs/{job_id}"
    shown = record(client, job_id)
    assert shown["result"] == {
        "checkpoint": f"{folder}/checkpoints/best.pth",
        "log": f"{folder}/train.log",
        "metrics": f"{folder}/metrics.jsonl",
    }
    assert (shown["log_tail"], shown["exit_code"], shown["position"]) == (
        ["epoch 1", "done"],
        0,
        None,
    )
    assert [step["to"] for step in shown["timeline"]] == [
        "queued",
        "admitted",
        "running",
        "succeeded",
    ]
    (folders / folder[1:] / "checkpoints").mkdir(parents=True)
    (folders / folder[1:] / "checkpoints" / "latest.pth").touch()
    assert record(client, job_id)["result"]["checkpoint"] == f"{folder}/checkpoints/latest.pth"
    (folders / folder[1:] / "report.html").touch()
    assert record(client, job_id)["result"]["report"] == f"{folder}/report.html"


def test_an_unknown_job_is_404(client: FlaskClient) -> None:
    for method, path in [
        ("GET", "/jobs/user1_2"),
        ("DELETE", "/jobs/user1_2"),
        ("POST", "/jobs/user1_2/retry"),
        ("GET", "/jobs/user1_2/logs"),
        ("GET", "/jobs/user1_2/metrics?follow=1"),
    ]:
        answer = client.open(path, method=method)
        assert answer.status_code == 404
        assert answer.json
        assert "There is no job user1_2" in answer.json["error"]


# -- cancel and retry ----------------------------------------------------------------------------


def test_cancel_in_every_phase_twice(
    client: FlaskClient, submit: Submit, admit: Callable[..., None], leader: Leader
) -> None:
    queued, admitted, running, done = (submit().json["job_id"] for _ in range(4))
    admit(done)
    leader.finish(done, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0)))
    admit(admitted, running=False)
    admit(running)
    for job_id, status, cancelling in [
        (queued, "cancelled", False),
        (admitted, "admitted", True),
        (running, "running", True),
        (done, "succeeded", False),
    ]:
        for _ in range(2):
            answer = client.delete(f"/jobs/{job_id}")
            assert answer.status_code == 200
            assert answer.json
            assert (answer.json["status"], answer.json["cancelling"]) == (status, cancelling)
    assert record(client, running)["reason"]["code"] == "cancelling"
    assert record(client, running)["cancel_requested_at"] == rfc3339(NOW)


def test_retry_of_a_failed_job(
    client: FlaskClient, submit: Submit, admit: Callable[..., None], leader: Leader
) -> None:
    job_id, other = submit().json["job_id"], submit().json["job_id"]
    admit(job_id)
    leader.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1, ("Traceback",))))
    answer = client.post(f"/jobs/{job_id}/retry")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{job_id}"
    assert answer.json
    assert (answer.json["status"], answer.json["job_id"], answer.json["position"]) == (
        "queued",
        job_id,
        2,
    )
    assert record(client, job_id)["attempt"] == 2
    assert client.post(f"/jobs/{other}/retry").status_code == 409
    wrong = client.post(f"/jobs/{job_id}/retry")
    assert wrong.status_code == 409
    assert wrong.json
    assert (
        wrong.json["error"] == f"Only a failed or cancelled job can be retried; {job_id} is queued."
    )


@pytest.mark.parametrize(("call", "phase"), [("cancel", "cancelled"), ("retry", "queued")])
@pytest.mark.parametrize("point", ["before", "after"])
def test_failpoints_are_on_both_sides_of_the_write(
    client: FlaskClient,
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    phase: str,
    point: str,
) -> None:
    job_id = submit().json["job_id"]
    if call == "retry":
        client.delete(f"/jobs/{job_id}")
    before = record(client, job_id)["status"]
    monkeypatch.setenv("GPUQ_TESTING", "1")
    monkeypatch.setenv("FAILPOINT", f"queue_manager.{call}.{point}:raise")
    path, method = (
        (f"/jobs/{job_id}/retry", "POST") if call == "retry" else (f"/jobs/{job_id}", "DELETE")
    )
    assert client.open(path, method=method).status_code == 500
    assert record(client, job_id)["status"] == (before if point == "before" else phase)


# -- lists ---------------------------------------------------------------------------------------


@pytest.fixture
def five(submit: Submit, admit: Callable[..., None], leader: Leader, clock: FakeClock) -> list[str]:
    """Five jobs of two users, a second apart: succeeded, running, queued, queued, cancelled."""
    ids = []
    for user in ("a", "b", "a", "b", "a"):
        ids.append(submit(user=user, workdir=f"/data/{user}").json["job_id"])
        clock.tick(1)
    admit(ids[0])
    leader.finish(ids[0], NOW + 10, Outcome(Phase.SUCCEEDED, DONE, Result(0)))
    admit(ids[1])
    leader.store.cancel(ids[4], NOW + 20)
    return ids


def listed(client: FlaskClient, query: str = "") -> list[str]:
    found, path = [], f"/jobs?{query}"
    while path:
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.json
        found += [job["job_id"] for job in answer.json["jobs"]]
        path = answer.json["next"]
    return found


def test_all_jobs_and_every_filter(client: FlaskClient, five: list[str]) -> None:
    a = five
    assert listed(client) == [a[1], a[2], a[3], a[4], a[0]]
    assert listed(client, "user=a") == [a[4], a[2], a[0]]
    assert listed(client, "status=queued") == [a[2], a[3]]
    assert listed(client, "status=running&user=b") == [a[1]]
    assert listed(client, "status=succeeded") == [a[0]]
    assert listed(client, f"since={rfc3339(NOW + 2)}") == [a[2], a[3], a[4]]
    assert listed(client, "user=nobody") == []


@pytest.mark.parametrize("query", ["", "user=a&", f"since={rfc3339(NOW + 1)}&"])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_pages_together_are_the_list(
    client: FlaskClient, five: list[str], query: str, limit: int
) -> None:
    assert listed(client, f"{query}limit={limit}") == listed(client, query)
    answer = client.get(f"/jobs?{query}limit={limit}").json
    assert answer
    assert len(answer["jobs"]) == min(limit, len(listed(client, query)))


def test_a_list_contains_records(client: FlaskClient, five: list[str]) -> None:
    answer = client.get("/jobs?status=queued").json
    assert answer
    assert [(job["position"], job["workdir"], job["attempt"]) for job in answer["jobs"]] == [
        (1, "/data/a", 1),
        (2, "/data/b", 1),
    ]


def test_wrong_filters_name_the_parameter(client: FlaskClient) -> None:
    for query, says in {
        "status=pending": "status: must be one of queued, admitted, running, succeeded, failed, ",
        "user=A": "user: must be 1 to 28",
        "since=yesterday": "since: must be a time with an offset",
        "since=2026-11-24T12:00:00": "since: must be a time with an offset",
        "cursor=MTox!": "cursor: MTox! is not a cursor of this server",
    }.items():
        answer = client.get(f"/jobs?{query}")
        assert answer.status_code == 400
        assert answer.json
        assert says in answer.json["error"]


def test_nodes_with_their_age(
    client: FlaskClient, leader: Leader, clock: FakeClock, raw_redis: "redis.Redis"
) -> None:
    leader.observe(
        {"at": rfc3339(NOW)},
        {
            "gpu-1": {"at": rfc3339(NOW), "snapshot": {"available": True}, "error": None},
            "gpu-2": {"at": rfc3339(NOW), "snapshot": None, "error": "does not answer"},
        },
    )
    raw_redis.hset("nodes", "gpu-3", "no JSON")
    clock.tick(2.5)
    answer = client.get("/nodes").json
    assert answer
    assert [(node["node"], node["age_s"], node["error"]) for node in answer["nodes"]] == [
        ("gpu-1", 2.5, None),
        ("gpu-2", 2.5, "does not answer"),
        ("gpu-3", None, "the data about this node in Redis cannot be read"),
    ]


def test_a_key_of_another_type_is_503_with_the_remedy(
    client: FlaskClient, raw_redis: "redis.Redis"
) -> None:
    raw_redis.set("user_queue:user1", "x")
    answer = client.get("/status/user1")
    assert answer.status_code == 503
    assert answer.json
    assert "REDIS_URL" in answer.json["error"]
