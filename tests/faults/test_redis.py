"""Redis is killed, stopped and started again while jobs are queued and running."""

import os
import signal
import time
from pathlib import Path

import requests

from devtools.testbed.system import System, wait_for


def test_killed_and_started_again_while_one_trains_and_others_wait(system: System) -> None:
    running = system.submitted("r1", {"seconds": 4})
    waiting = [system.submitted(f"r{number}", {"seconds": 0.1}) for number in (2, 3)]
    system.wait_status(running, "running")
    system.kill_redis()
    begin = time.monotonic()
    answer = system.submit("r4")
    assert answer.status_code == 503
    assert time.monotonic() - begin < 2
    assert int(answer.headers["Retry-After"]) > 0
    assert "Redis" in answer.json()["detail"]
    system.start_redis()
    for job_id in (running, *waiting):
        system.wait_status(job_id, "succeeded")
    assert [life["what"] for life in system.lives(running)] == ["arrive", "start", "end"]
    assert system.store.user_jobs("r4", 0, 9) == []
    system.wait_sound()


def test_a_long_outage_is_one_alert_and_scheduling_resumes(system: System) -> None:
    before = len(system.alerts())
    system.kill_redis()
    wait_for("it is halted", lambda: len(system.alerts()) > before, 15)
    assert "halted" in system.alerts()[-1]
    time.sleep(2)  # four more retries: a second alert would have come
    assert len(system.alerts()) == before + 1
    system.start_redis()
    job_id = system.submitted("back", {"seconds": 0.1})
    system.wait_status(job_id, "succeeded")
    assert len(system.alerts()) == before + 2
    assert "Scheduling resumed" in system.alerts()[-1]
    system.wait_sound()


def test_a_stopped_redis_is_a_clear_answer_within_two_seconds(system: System) -> None:
    assert system._valkey is not None
    pid = system._valkey._process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        answer = requests.get(f"{system.api}/status/ann", timeout=10)
        assert answer.status_code == 503
        assert time.monotonic() - begin < 2.5
        assert requests.get(f"{system.api}/healthz", timeout=2).status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    job_id = system.submitted("after", {"seconds": 0.1})
    system.wait_status(job_id, "succeeded")
    system.wait_sound()


def test_emptied_while_a_training_runs_it_is_restored_and_continues(system: System) -> None:
    ended = system.submitted("ended", {"seconds": 0.1})
    system.wait_status(ended, "succeeded")
    job_id = system.submitted("flushed", {"seconds": 4})
    before = system.wait_status(job_id, "running")
    system.empty_redis()
    waiting = system.submitted("next", {"seconds": 0.1})
    wait_for("it is restored", lambda: system.store.running_raw(), 10)
    restored = system.job(job_id)
    same = (
        "status",
        "config",
        "workdir",
        "attempt",
        "node",
        "workflow_name",
        "submitted_at",
        "started_at",
    )
    assert {field: restored[field] for field in same} == {
        field: before[field] for field in same
    } | {
        "submitted_at": f"{before['submitted_at'][:19]}.000Z"  # the queue entry has whole seconds
    }
    wait_for(
        "the next waits for it", lambda: job_id in system.job(waiting)["reason"]["message"], 10
    )
    assert system.wait_status(job_id, "succeeded")["attempt"] == 1
    system.wait_status(waiting, "succeeded")
    assert [life["what"] for life in system.lives(job_id)] == ["arrive", "start", "end"]
    assert (
        len(
            [
                title
                for title in system.alerts()
                if title.startswith("Redis had lost jobs; 1 that run")
            ]
        )
        == 1
    )
    system.acknowledged[:] = [job_id, waiting]
    system.wait_sound()


def test_a_scheduler_that_dies_while_it_restores(system: System, tmp_path: Path) -> None:
    job_id = system.submitted("restored", {"seconds": 4})
    system.wait_status(job_id, "running")
    system.kill("scheduler")
    system.empty_redis()
    fired = tmp_path / "fired"
    system.start_one("scheduler", FAILPOINT="rebuild.restored:kill", FAILPOINT_ONCE=str(fired))
    wait_for("it dies", lambda: system.exited("scheduler"), 20)
    system.processes.pop("scheduler")
    system.start_one("scheduler")
    system.wait_status(job_id, "succeeded")
    assert fired.exists()
    assert [life["what"] for life in system.lives(job_id)] == ["arrive", "start", "end"]
    system.acknowledged[:] = [job_id]
    system.wait_sound()
