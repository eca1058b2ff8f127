"""Redis is killed, stopped and started again in the middle of everything."""

import os
import signal
import time

import requests

from tests.system import System, wait_for


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


def test_away_for_long_is_one_alert_and_it_goes_on_by_itself(system: System) -> None:
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
    assert "goes on" in system.alerts()[-1]
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


def test_emptied_while_a_training_runs_never_stops_it(system: System) -> None:
    job_id = system.submitted("flushed", {"seconds": 4})
    system.wait_status(job_id, "running")
    system.store._redis.flushall()
    system.acknowledged.clear()
    waiting = system.submitted("next", {"seconds": 0.1})
    wait_for("it waits for it", lambda: "no record" in system.job(waiting)["reason"]["message"], 10)
    system.wait_status(waiting, "succeeded")
    assert [life["what"] for life in system.lives(job_id)] == ["arrive", "start", "end"]
