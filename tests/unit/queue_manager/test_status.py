"""GET /status/<user> and GET /queue, which everybody may read."""

import json
from collections.abc import Callable
from typing import Any

import redis
from flask import Flask
from flask.testing import FlaskClient

from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.clock import rfc3339
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.leader import Leader, Outcome

Submit = Callable[..., Any]
DONE = Reason(ReasonCode.SUCCEEDED, "The training finished.")
HEARTBEAT = {
    "at": rfc3339(NOW),
    "summary": "",
    "poll_interval_s": 10,
    "halted": None,
    "holder": "me",
}
HALTED = {
    "since": "2026-11-18T10:00:00.000Z",
    "why": "the cluster is unreachable.",
    "remedy": "Check its API server.",
}


def submit_of(submit: Submit, user: str) -> str:
    return str(submit(user=user, workdir=f"/data/{user}").json["job_id"])


def test_a_user_without_jobs_is_idle(client: FlaskClient) -> None:
    answer = client.get("/status/nobody")
    assert answer.status_code == 200
    assert answer.json
    assert (answer.json["user"], answer.json["status"], answer.json["jobs"]) == (
        "nobody",
        "idle",
        [],
    )
    assert (answer.json["position"], answer.json["estimated_wait"], answer.json["job_id"]) == (
        None,
        None,
        None,
    )


def test_an_invalid_user_name_is_refused(client: FlaskClient) -> None:
    assert client.get("/status/User1").status_code == 400


def test_the_example_of_the_founding_document(
    client: FlaskClient,
    submit: Submit,
    admit: Callable[..., None],
    leader: Leader,
    clock: FakeClock,
) -> None:
    """docs/founding-document.md shows `queued`, position 2 and a wait of 45 minutes."""
    learnt = submit_of(submit, "c")
    admit(learnt)
    leader.finish(learnt, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0), run_time_s=1800))
    admit(submit_of(submit, "c"))
    submit_of(submit, "a")
    job_id = submit_of(submit, "user1")
    clock.tick(900)
    leader.observe({**HEARTBEAT, "at": rfc3339(clock.now)}, {})
    answer = client.get("/status/user1").json
    assert answer
    jobs = answer.pop("jobs")
    assert answer == {
        "job_id": job_id,
        "user": "user1",
        "config": "config.yaml",
        "status": "queued",
        "submitted_at": "2026-11-18T11:06:40.000Z",
        "started_at": None,
        "finished_at": None,
        "reason": {
            "code": "submitted",
            "message": "Just submitted; the scheduler considers it within seconds.",
            "detail": "",
        },
        "position": 2,
        "estimated_wait": "45 minutes",
        "estimated_wait_s": 2700,
        "estimated_start_at": "2026-11-18T12:06:40.000Z",
        "estimated_end_at": None,
    }
    assert jobs == [answer]


def test_a_running_job_comes_before_queued_ones_and_those_before_finished_ones(
    client: FlaskClient,
    submit: Submit,
    admit: Callable[..., None],
    leader: Leader,
    clock: FakeClock,
) -> None:
    finished, running = submit_of(submit, "user1"), submit_of(submit, "user1")
    queued = [submit_of(submit, "user1") for _ in range(2)]
    admit(finished)
    leader.finish(finished, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0), run_time_s=600))
    admit(running)
    clock.tick(60)
    answer = client.get("/status/user1").json
    assert answer
    assert (answer["job_id"], answer["status"], answer["position"]) == (running, "running", None)
    assert (answer["estimated_wait"], answer["estimated_wait_s"], answer["estimated_start_at"]) == (
        None,
        None,
        None,
    )
    assert answer["started_at"] == rfc3339(NOW)
    assert answer["estimated_end_at"] == rfc3339(NOW + 600)
    assert [job["job_id"] for job in answer["jobs"]] == [running, *queued, finished]
    assert [job["position"] for job in answer["jobs"]] == [None, 1, 2, None]


def test_without_active_jobs_the_last_finished_one_is_on_top(
    client: FlaskClient, submit: Submit, clock: FakeClock
) -> None:
    ids = [submit_of(submit, "user1") for _ in range(7)]
    for job_id in reversed(ids):
        clock.tick(1)
        client.delete(f"/jobs/{job_id}")
    answer = client.get("/status/user1").json
    assert answer
    assert (answer["job_id"], answer["status"]) == (
        ids[2],
        "cancelled",
    )  # of the five newest submissions
    assert [job["job_id"] for job in answer["jobs"]] == ids[2:]


def test_the_rest_of_a_record_is_not_shown_to_everybody(
    client: FlaskClient, submit: Submit
) -> None:
    submit(name="secret")
    seen = client.get("/status/user1").get_data(as_text=True) + client.get("/queue").get_data(
        as_text=True
    )
    assert "secret" not in seen
    assert "workdir" not in seen


# -- reasons -------------------------------------------------------------------------------------


def reason_of(client: FlaskClient, user: str = "user1") -> Any:
    answer = client.get(f"/status/{user}").json
    return answer and answer["reason"]


def test_the_stored_reason_is_shown_while_the_scheduler_responds(
    client: FlaskClient, submit: Submit, leader: Leader, store: Any, clock: FakeClock
) -> None:
    reason = Reason(ReasonCode.RESOURCES_BUSY, "1st in line; GPU 0 on gpu-1 is at 93 %.")
    job_id = submit_of(submit, "user1")
    leader.set_reasons([(store.job(job_id), reason)])
    assert reason_of(client) == {
        "code": "scheduler_not_responding",
        "message": "The scheduler has not reported yet; check that it is running.",
        "detail": "",
    }
    leader.observe(HEARTBEAT, {})
    clock.tick(30)
    assert reason_of(client) == reason.to_dict()
    clock.tick(0.1)
    assert reason_of(client) == {
        "code": "scheduler_not_responding",
        "message": "The scheduler has not reported since 2026-11-18T11:06:40.000Z. "
        "Queued jobs are safe and will start once it is back.",
        "detail": "",
    }


def test_a_halted_scheduler_is_the_reason_of_queued_jobs(
    client: FlaskClient, submit: Submit, leader: Leader
) -> None:
    submit_of(submit, "user1")
    leader.observe({**HEARTBEAT, "halted": HALTED}, {})
    text = (
        "The scheduler has been halted since 2026-11-18T10:00:00.000Z: "
        "the cluster is unreachable. Check its API server."
    )
    assert reason_of(client) == {"code": "halted", "message": text, "detail": ""}


def test_a_running_job_keeps_its_own_reason(
    client: FlaskClient, submit: Submit, admit: Callable[..., None]
) -> None:
    admit(submit_of(submit, "user1"))
    reason = {"code": "running", "message": "Runs on gpu-1.", "detail": ""}
    assert reason_of(client) == reason


def test_behind_the_first_hundred_jobs_the_position_is_the_reason(
    make_app: Callable[..., Flask], submit: Submit, leader: Leader
) -> None:
    for number in range(100):
        assert submit(user=f"u{number}", workdir=f"/data/u{number}").status_code == 202
    submit_of(submit, "user1")
    leader.observe(HEARTBEAT, {})
    client = make_app().test_client()
    assert reason_of(client, "u99")["code"] == "submitted"
    assert reason_of(client) == {
        "code": "waiting_turn",
        "message": "Position 101: 100 jobs are ahead.",
        "detail": "",
    }


# -- GET /queue ----------------------------------------------------------------------------------


def test_the_queue_in_order_and_the_running_jobs(
    client: FlaskClient, submit: Submit, admit: Callable[..., None], leader: Leader
) -> None:
    running = submit_of(submit, "a")
    admit(running)
    queued = [submit_of(submit, user) for user in ("b", "c")]
    leader.observe(HEARTBEAT, {})
    answer = client.get("/queue").json
    assert answer
    assert (answer["length"], answer["next"]) == (2, None)
    shown = [(job["job_id"], job["position"], job["user"], job["config"]) for job in answer["jobs"]]
    assert shown == [(queued[0], 1, "b", "config.yaml"), (queued[1], 2, "c", "config.yaml")]
    assert [(job["job_id"], job["status"]) for job in answer["running"]] == [(running, "running")]


def test_pages_skip_no_job_while_the_queue_moves(
    client: FlaskClient, submit: Submit, admit: Callable[..., None]
) -> None:
    ids = [submit_of(submit, f"u{number}") for number in range(5)]
    first = client.get("/queue?limit=2").json
    assert first
    admit(ids[0])
    second = client.get(first["next"]).json
    assert second
    assert [job["job_id"] for job in first["jobs"] + second["jobs"]] == ids[:4]
    assert [job["position"] for job in second["jobs"]] == [2, 3]
    third = client.get(second["next"]).json
    assert third
    assert ([job["job_id"] for job in third["jobs"]], third["next"]) == (ids[4:], None)


def test_unreadable_entries_do_not_hide_the_others(
    client: FlaskClient, submit: Submit, raw_redis: "redis.Redis"
) -> None:
    first, second = submit_of(submit, "a"), submit_of(submit, "b")
    raw_redis.hset(f"job:{first}", "phase", "melted")
    raw_redis.rpush("job_queue", "no json")
    raw_redis.hset("running_jobs", "x", json.dumps({"v": 99}))
    answer = client.get("/queue").json
    assert answer
    assert [(job["job_id"], job["position"]) for job in answer["jobs"]] == [(second, 2)]
    assert client.get("/status/b").status_code == 200
    broken = client.get(f"/jobs/{first}")
    assert broken.status_code == 500
    assert broken.json
    assert "cannot be read" in broken.json["error"]


def test_wrong_queries_name_the_parameter(client: FlaskClient) -> None:
    for query, says in {
        "limit=0": "limit: must be a whole number from 1 to 500",
        "limit=501": "limit: must be",
        "limit=-1": "limit: must be",
        "limit=1_0": "limit: must be",
        "limit=1&limit=2": "limit: is given twice",
        "cursor=x": "cursor: x is not a cursor of this server",
        "lmit=1": "lmit: unknown parameter (did you mean limit?)",
    }.items():
        answer = client.get(f"/queue?{query}")
        assert answer.status_code == 400
        assert answer.json
        assert says in answer.json["error"]
