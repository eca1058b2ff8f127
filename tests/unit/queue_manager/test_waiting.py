"""ETags, 304 and `?wait=`, which holds an answer back until it changes."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.clock import rfc3339
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Outcome
from queue_manager import create_app
from queue_manager.settings import QueueManagerSettings

Submit = Callable[..., Any]
DONE = Reason(ReasonCode.SUCCEEDED, "The training finished.")


class World:
    """Pauses move the clock; `events` are calls by the number of the pause in which they happen."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.pauses = clock, 0
        self.events: dict[int, Callable[[], object]] = {}

    def pause(self, seconds: float) -> None:
        self.clock.tick(seconds)
        self.pauses += 1
        self.events.get(self.pauses, lambda: None)()


@pytest.fixture
def world(clock: FakeClock) -> World:
    return World(clock)


@pytest.fixture
def app(settings: QueueManagerSettings, store: Store, clock: FakeClock, world: World) -> Flask:
    return create_app(
        settings.model_copy(update={"queue_manager_threads": 9}), store, clock, world.pause, 0
    )


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def job_id(submit: Submit) -> str:
    return str(submit().json["job_id"])


PATHS = ["/status/user1", "/queue", "/jobs", "/jobs/{job_id}"]


@pytest.mark.parametrize("path", PATHS)
def test_an_unchanged_answer_is_304_without_a_body(
    client: FlaskClient, job_id: str, path: str
) -> None:
    url = path.format(job_id=job_id)
    first = client.get(url)
    assert first.headers["ETag"].startswith('W/"')
    again = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["X-Request-Id"]
    assert client.get(url, headers={"If-None-Match": '"another"'}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_changed_answer_has_another_tag(client: FlaskClient, job_id: str, path: str) -> None:
    url = path.format(job_id=job_id)
    first = client.get(url)
    client.delete(f"/jobs/{job_id}")
    again = client.get(url, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 200
    assert again.headers["ETag"] != first.headers["ETag"]


def test_the_clock_alone_does_not_change_the_tag(
    client: FlaskClient,
    submit: Submit,
    admit: Callable[..., None],
    leader: Leader,
    clock: FakeClock,
) -> None:
    heartbeat = {"at": rfc3339(NOW), "poll_interval_s": 10_000, "halted": None}
    leader.observe(heartbeat, {})
    learnt, running = submit().json["job_id"], submit().json["job_id"]
    admit(learnt)
    leader.finish(learnt, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0), run_time_s=3600))
    admit(running)
    submit(user="user2", workdir="/data/user2")
    first = client.get("/status/user2")
    clock.tick(120)
    again = client.get("/status/user2")
    assert first.json != again.json
    assert first.headers["ETag"] == again.headers["ETag"]


# -- ?wait= --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/status/user1", "/jobs/{job_id}"])
def test_a_wait_ends_when_the_job_changes(
    client: FlaskClient, job_id: str, world: World, store: Store, path: str
) -> None:
    world.events[7] = lambda: store.cancel(job_id, NOW)
    answer = client.get(path.format(job_id=job_id) + "?wait=60")
    assert answer.json
    assert (answer.status_code, answer.json["status"]) == (200, "cancelled")
    assert world.pauses == 7


def test_a_change_without_an_event_ends_the_wait_within_a_second(
    client: FlaskClient, job_id: str, world: World, store: Store, leader: Leader
) -> None:
    busy = Reason(ReasonCode.RESOURCES_BUSY, "GPU 0 is at 93 %.")
    world.events[1] = lambda: leader.set_reasons([(store.job(job_id), busy)])
    leader.observe({"at": rfc3339(NOW), "poll_interval_s": 10_000, "halted": None}, {})
    answer = client.get(f"/jobs/{job_id}?wait=60").json
    assert answer
    assert answer["reason"]["message"] == busy.message
    assert world.pauses == 4


def test_without_a_change_the_wait_lasts_as_long_as_requested(
    client: FlaskClient, job_id: str, world: World, clock: FakeClock
) -> None:
    answer = client.get(f"/jobs/{job_id}?wait=30")
    assert (answer.status_code, clock.now) == (200, NOW + 30)
    known = {"If-None-Match": answer.headers["ETag"]}
    assert client.get(f"/jobs/{job_id}?wait=30", headers=known).status_code == 304
    assert clock.now == NOW + 60


def test_a_clock_that_is_set_back_does_not_prolong_the_wait(
    client: FlaskClient, job_id: str, world: World, clock: FakeClock
) -> None:
    world.events[2] = lambda: clock.tick(-3600)
    client.get(f"/jobs/{job_id}?wait=2")
    assert world.pauses == 8


def test_a_change_before_the_request_is_answered_at_once(
    client: FlaskClient, job_id: str, world: World
) -> None:
    answer = client.get(f"/jobs/{job_id}?wait=30", headers={"If-None-Match": 'W/"of-before"'})
    assert (answer.status_code, world.pauses) == (200, 0)


def test_a_waiting_request_counts_as_a_follower_until_it_ends(
    app: Flask, client: FlaskClient, job_id: str, world: World
) -> None:
    answers: list[Any] = []
    world.events[1] = lambda: answers.append(app.test_client().get(f"/jobs/{job_id}?wait=1"))
    world.events[2] = lambda: answers.append(app.test_client().get(f"/jobs/{job_id}"))
    assert client.get(f"/jobs/{job_id}?wait=1").status_code == 200
    refused, asked = answers
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert "Limit of 1 open ?follow/?wait requests reached" in refused.json["error"]
    assert asked.status_code == 200
    assert client.get(f"/jobs/{job_id}?wait=1").status_code == 200


def test_a_wait_for_an_unknown_job_is_404_and_without_redis_503(
    client: FlaskClient, job_id: str, world: World, raw_redis: "redis.Redis"
) -> None:
    assert client.get("/jobs/none?wait=30").status_code == 404
    world.events[2] = lambda: (raw_redis.delete("events"), raw_redis.set("events", "no stream"))
    assert client.get(f"/jobs/{job_id}?wait=30").status_code == 503
    raw_redis.delete("events")
    assert client.get(f"/jobs/{job_id}?wait=1").status_code == 200


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5", ""])
def test_an_invalid_wait_is_refused(client: FlaskClient, job_id: str, wait: str) -> None:
    answer = client.get(f"/jobs/{job_id}?wait={wait}").json
    assert answer
    assert answer["error"] == "wait: must be a whole number from 0 to 60"
