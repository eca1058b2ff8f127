"""The real API: `python -m queue_manager` as a process over a real Valkey, by HTTP."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from devtools import ROOT
from devtools.testbed.system import System, running_system, wait_for
from jobqueue.clock import rfc3339
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.leader import Leader, Outcome, SlotLimits, Start

DONE = Reason(ReasonCode.SUCCEEDED, "The training finished.")
COMMAND = [sys.executable, "-m", "queue_manager"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One API for the tests that break nothing."""
    with running_system(tmp_path_factory.mktemp("api"), "redis", "queue_manager") as system:
        for config in (ROOT / "workflows" / "configs").iterdir():
            (system.folder / "configs" / config.name).write_text(config.read_text())
        yield system


@pytest.fixture
def api(shared: System) -> System:
    raw(shared).flushall()
    return shared


def raw(system: System) -> "redis.Redis":
    return redis.Redis.from_url(system.redis_url, decode_responses=True)


def seed_body(user: str = "user1", **fields: Any) -> dict[str, Any]:
    return {"user": user, "config": "config.yaml", "workdir": f"/data/{user}", **fields}


def post(system: System, body: dict[str, Any], **options: Any) -> requests.Response:
    return requests.post(f"{system.api}/submit", json=body, timeout=10, **options)


def leader(system: System) -> Leader:
    lead = Leader.lead(system.store, "a test", 60)
    assert lead is not None
    return lead


def report(system: System) -> None:
    """What a scheduler writes at the end of each cycle."""
    heartbeat = {
        "at": rfc3339(time.time()),
        "summary": "",
        "poll_interval_s": 10,
        "halted": None,
        "holder": "me",
    }
    leader(system).observe(heartbeat, {})


def run(system: System, job_id: str) -> None:
    """The job is admitted and its container runs."""
    lead, now = leader(system), time.time()
    lead.admit(
        system.store.job(job_id),
        now,
        Start("gpu-1", (), f"w-{job_id}", "Admitted."),
        SlotLimits(99, 99),
    )
    lead.mark_running(job_id, now, "Runs on gpu-1.")


def finish(system: System, job_id: str) -> None:
    leader(system).finish(
        job_id, time.time(), Outcome(Phase.SUCCEEDED, DONE, Result(0), run_time_s=1800)
    )


def train_log(system: System, job_id: str) -> Path:
    path = system.folder / "data" / "user1" / "runs" / job_id / "train.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# -- the seed, stages 1 and 2 --------------------------------------------------------------------


def test_stage_1_submit(api: System) -> None:
    for missing in ("user", "config", "workdir"):
        answer = post(api, {name: value for name, value in seed_body().items() if name != missing})
        assert (answer.status_code, answer.json()["error"]) == (400, f"Missing {missing}")
    assert raw(api).keys("*") == []
    post(api, seed_body("user2"))
    post(api, seed_body("user3"))
    answer = post(api, seed_body())
    assert answer.status_code == 202
    told = answer.json()
    assert list(told)[:3] == ["status", "job_id", "position"]
    assert (told["status"], told["position"]) == ("queued", 3)
    assert re.fullmatch(r"user1_\d{14}", told["job_id"])
    entries = [json.loads(entry) for entry in raw(api).lrange("job_queue", 0, -1)]
    assert raw(api).llen("job_queue") == 3
    assert [entry["user"] for entry in entries] == ["user1", "user3", "user2"]
    assert list(entries[0]) == ["user", "config", "workdir", "timestamp", "job_id", "v"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", entries[0]["timestamp"])


def test_stage_2_status(api: System) -> None:
    report(api)
    for user, ends in (("user2", True), ("user2", False)):
        job_id = post(api, seed_body(user)).json()["job_id"]
        run(api, job_id)
        if ends:
            finish(api, job_id)
    post(api, seed_body("user3"))
    job_id = post(api, seed_body()).json()["job_id"]
    queue = api.get("/queue")
    assert (queue["length"], [job["user"] for job in queue["jobs"]]) == (2, ["user3", "user1"])
    assert [job["user"] for job in queue["running"]] == ["user2"]
    status = api.get("/status/user1")
    assert (status["status"], status["position"], status["job_id"]) == ("queued", 2, job_id)
    # One that has just begun, and one ahead, half an hour each; what is learnt is read once a
    # second.
    wait_for("the estimate", lambda: api.get("/status/user1")["estimated_wait"] == "1 hour", 5)


# -- hostile requests over the wire --------------------------------------------------------------


def test_hostile_bodies_over_the_wire(api: System) -> None:
    json_type = {"Content-Type": "application/json"}
    large = b'{"user": "' + b"x" * 10_000_000 + b'"}'
    bodies: list[tuple[Any, int]] = [
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (large, 413),
        (iter([large[: 10**6], large[10**6 : 3 * 10**6]]), 413),  # chunked, without a length
        (iter([b'{"user": ', b'"user1"}']), 400),
    ]
    for body, code in bodies:
        answer = requests.post(f"{api.api}/submit", data=body, headers=json_type, timeout=10)
        assert answer.status_code == code
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["error"]
    assert raw(api).keys("*") == []
    assert requests.get(f"{api.api}/healthz", timeout=2).status_code == 200


# -- logs that are followed ----------------------------------------------------------------------


def test_a_follower_waits_for_the_log_and_ends_with_the_job(api: System) -> None:
    job_id = post(api, seed_body()).json()["job_id"]
    with requests.get(f"{api.api}/jobs/{job_id}/logs?follow=1", stream=True, timeout=10) as answer:
        lines = answer.iter_lines()
        run(api, job_id)
        log = train_log(api, job_id)
        log.write_text("epoch 1\n")
        assert next(lines) == b"epoch 1"
        with log.open("a") as file:
            file.write("epoch 2\n")
        assert next(lines) == b"epoch 2"
        with log.open("a") as file:
            file.write("done\n")
        finish(api, job_id)
        assert list(lines) == [b"done"]
    job = api.job(job_id)
    assert job["result"]["log"] == f"/data/user1/runs/{job_id}/train.log"


# -- Redis goes and comes ------------------------------------------------------------------------


def test_redis_killed_is_503_within_two_seconds_and_back_is_202(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis", "queue_manager") as system:
        kept = system.submitted("user1")
        system.kill_redis()
        began = time.monotonic()
        answer = system.submit("user2")
        assert time.monotonic() - began < 2
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert "Redis" in answer.json()["error"]
        assert requests.get(f"{system.api}/healthz", timeout=2).status_code == 200
        assert requests.get(f"{system.api}/readyz", timeout=4).status_code == 503
        system.start_redis()
        wait_for("the API takes jobs again", lambda: system.submit("user2").status_code == 202, 10)
        assert system.job(kept)["position"] == 1


def test_a_redis_that_hangs_is_503_within_two_seconds(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis", "queue_manager") as system:
        system.submitted("user1")
        pid = raw(system).info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            answer = system.submit("user2")
            assert time.monotonic() - began < 2
            assert answer.status_code == 503
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for("the API takes jobs again", lambda: system.submit("user3").status_code == 202, 10)


def test_ready_with_a_heartbeat(api: System) -> None:
    assert requests.get(f"{api.api}/readyz", timeout=5).status_code == 503
    report(api)
    assert api.get("/readyz") == {"status": "ready", "warnings": [], "coded_warnings": []}


# -- the process ---------------------------------------------------------------------------------


def test_sigterm_ends_it_within_two_seconds_with_followers_connected(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis", "queue_manager") as system:
        job_id = system.submitted("user1")
        url = f"{system.api}/jobs/{job_id}/logs?follow=1"
        with requests.Session() as session, requests.get(url, stream=True, timeout=10) as follower:
            session.get(f"{system.api}/healthz", timeout=5)  # a kept-alive connection as well
            cut = threading.Thread(target=_read_until_cut, args=(follower,))
            cut.start()
            began = time.monotonic()
            process = system.processes.pop("queue_manager")
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 2
            cut.join(5)
            assert not cut.is_alive()


def _read_until_cut(follower: requests.Response) -> None:
    try:
        follower.raw.read()
    except Exception:  # noqa: BLE001 - however urllib3 words it
        return


def refused_start(**env: str) -> tuple[int, list[str]]:
    """How it ends, and the lines that it says on stderr."""
    template = str(ROOT / "workflows" / "proto-gcn-workflow.yaml")
    done = subprocess.run(
        COMMAND,
        env={**os.environ, "WORKFLOW_TEMPLATE": template, **env},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stderr.splitlines()


def test_a_host_off_loopback_is_refused_without_tokens() -> None:
    code, lines = refused_start(QUEUE_MANAGER_HOST="0.0.0.0", AUTH="off")
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("QUEUE_MANAGER_HOST='0.0.0.0' is refused: with AUTH=off anyone")


def test_each_wrong_setting_has_its_sentence() -> None:
    code, lines = refused_start(MAX_QUEUED="many", AUTH="maybe")
    assert (code, [line.partition("=")[0] for line in lines]) == (2, ["MAX_QUEUED", "AUTH"])


def test_a_port_that_is_taken_is_one_sentence_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, lines = refused_start(QUEUE_MANAGER_PORT=str(taken.getsockname()[1]))
    assert (code, len(lines)) == (1, 1)
    assert "Address already in use" in lines[0]


def test_failpoints_are_refused_outside_tests() -> None:
    code, lines = refused_start(FAILPOINT="queue_manager.enqueue.after:kill", GPUQ_TESTING="")
    assert code == 1
    assert lines == ["FAILPOINT is for gpuq's own tests and is refused here; unset it."]


@pytest.mark.parametrize(("point", "kept"), [("before", 0), ("after", 1)])
def test_killed_around_the_write_the_same_key_gives_one_job(
    tmp_path: Path, point: str, kept: int
) -> None:
    once = {
        "FAILPOINT": f"queue_manager.enqueue.{point}:kill",
        "FAILPOINT_ONCE": str(tmp_path / "fired"),
    }
    with running_system(tmp_path / "system", "redis") as system:
        (system.folder / "configs" / "config.yaml").write_text("data: {ann_file: a}\n")
        system.start_one("queue_manager", **once)
        key = {"Idempotency-Key": "k"}
        with pytest.raises(requests.ConnectionError):
            post(system, seed_body(), headers=key)
        assert system.store.queue_length() == kept
        wait_for(
            "gunicorn has a new worker", lambda: requests.get(f"{system.api}/healthz", timeout=5).ok
        )
        assert post(system, seed_body(), headers=key).status_code == 202
        assert system.store.queue_length() == 1


def test_the_start_is_logged_without_the_password(tmp_path: Path) -> None:
    with running_system(
        tmp_path, "queue_manager", REDIS_URL="redis://:hunter2@127.0.0.1:1/0"
    ) as system:
        wait_for("it says so", lambda: '"Queue manager started."' in system.log("queue_manager"))
        assert "hunter2" not in system.log("queue_manager")
