"""Every service is killed at every point between two of its writes and restarted; no job is lost or
run twice.
"""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import requests

from devtools.testbed.system import System, wait_for
from jobqueue.failpoints import FAILPOINTS

BY_SCHEDULER = [
    name for name in FAILPOINTS if name.split(".")[0] in ("scheduler", "local", "runner")
]
BY_API = [name for name in FAILPOINTS if name.startswith("queue_manager.")]


class Life:
    """Take three jobs through all that can happen: success, eviction, cancel, clean-up."""

    def __init__(self, system: System, tag: str) -> None:
        self.system = system
        self.ends = system.submitted(f"a-{tag}", {"seconds": 0.2})
        self.evicted = system.submitted(f"b-{tag}", {"seconds": 60})
        self.last = system.submitted(f"c-{tag}", {"seconds": 0.2})

    def run(self) -> None:
        self._until(self.ends, "succeeded")
        self._evict_once()
        assert (
            requests.delete(f"{self.system.api}/jobs/{self.evicted}", timeout=10).status_code == 200
        )
        self._until(self.evicted, "cancelled")
        self._until(self.last, "succeeded")
        wait_for("old workflows are deleted", self._tidy, 20)

    def _until(self, job_id: str, status: str) -> None:
        def there() -> bool:
            self._revive()
            return self.system.store.job(job_id).phase == status

        wait_for(f"{job_id} is {status}: {self.system.store.job(job_id)}", there, 40)

    def _evict_once(self) -> None:
        """Kill the runner of the long training, and wait until its next attempt has begun."""
        first = wait_for(
            "the long training begins", lambda: self._revive() or self._running_pid(), 40
        )
        os.kill(first, signal.SIGKILL)
        wait_for("it begins again", lambda: self._revive() or self._running_pid(not_=first), 40)

    def _running_pid(self, not_: int = 0) -> int:
        """Return the pid of the long training's runner once the training itself has started."""
        if not any(life["what"] == "start" for life in self.system.lives(self.evicted)):
            return 0
        for workflow in self.system.live_workflows():
            started = self.system.folder / "workflows" / workflow.name / "started.json"
            if workflow.job_id == self.evicted and started.exists():
                pid = int(json.loads(started.read_text())["pid"])
                return pid if pid != not_ else 0
        return 0

    def _tidy(self) -> bool:
        self._revive()
        return self.system.workflow_names() == []

    def _revive(self) -> None:
        """Restart a scheduler that died, as Kubernetes or `gpuq up` would."""
        if self.system.exited("scheduler"):
            self.system.processes.pop("scheduler")
            self.system.start_one("scheduler")

    def check(self) -> None:
        assert not [
            self.system.overlaps(job_id)
            for job_id in (self.ends, self.evicted, self.last)
            if self.system.overlaps(job_id)
        ]
        for job_id in (self.ends, self.last):
            assert [life["what"] for life in self.system.lives(job_id)].count("end") == 1
        self.system.wait_sound()


@pytest.mark.parametrize("name", BY_SCHEDULER)
def test_scheduler_and_its_engine(system: System, tmp_path: Path, name: str) -> None:
    fired = tmp_path / "fired"
    if "scheduler" in system.processes:
        system.kill("scheduler", signal.SIGTERM)
    system.start_one("scheduler", FAILPOINT=f"{name}:kill", FAILPOINT_ONCE=str(fired))
    life = Life(system, str(BY_SCHEDULER.index(name)))
    life.run()
    assert fired.exists(), f"{name} was never passed"
    life.check()


@pytest.mark.parametrize(
    "name", ["scheduler.admit.after", "scheduler.create.after", "scheduler.finish.before"]
)
def test_an_error_in_the_middle_of_a_cycle(system: System, tmp_path: Path, name: str) -> None:
    fired = tmp_path / "fired"
    system.kill("scheduler", signal.SIGTERM)
    system.start_one("scheduler", FAILPOINT=f"{name}:raise", FAILPOINT_ONCE=str(fired))
    job_id = system.submitted(f"r-{name.split('.')[1]}", {"seconds": 0.1})
    system.wait_status(job_id, "succeeded")
    assert fired.exists()
    assert not system.exited("scheduler")
    system.wait_sound()


@pytest.mark.parametrize("name", BY_API)
def test_queue_manager(system: System, tmp_path: Path, name: str) -> None:
    """The worker dies in the middle of a call; repeating the call gives the state that one call
    gives.
    """
    user = f"q-{BY_API.index(name)}"
    fired = tmp_path / "fired"
    call = name.split(".")[1]
    job_id = "" if call == "enqueue" else _prepared(system, user, call)
    system.kill("queue_manager", signal.SIGTERM)
    system.start_one("queue_manager", FAILPOINT=f"{name}:kill", FAILPOINT_ONCE=str(fired))
    with pytest.raises(requests.ConnectionError):
        _call(system, call, user, job_id)
    assert fired.exists()
    answer = wait_for("the next worker answers", lambda: _try(system, call, user, job_id), 15)
    job_id = job_id or answer["job_id"]
    system.acknowledged.append(job_id)
    system.wait_status(job_id, "cancelled" if call == "cancel" else "succeeded")
    assert len(system.store.user_jobs(user, 0, 9)) == 1
    system.wait_sound()


def _prepared(system: System, user: str, call: str) -> str:
    """Return a job that can be cancelled, or one that can be retried and then succeeds."""
    job_id = system.submitted(user, {"seconds": 60 if call == "cancel" else 0.1})
    if call == "retry":
        requests.delete(f"{system.api}/jobs/{job_id}", timeout=10)
        system.wait_status(job_id, "cancelled", "succeeded")
        if system.job(job_id)["status"] == "succeeded":  # it ended before the cancel
            pytest.fail("the job to be retried had finished already")
    return job_id


def _call(system: System, call: str, user: str, job_id: str) -> requests.Response:
    if call == "enqueue":
        body = {
            "user": user,
            "config": {"seconds": 0.1},
            "workdir": f"/data/{user}",
            "workflow": "toy",
        }
        return requests.post(
            f"{system.api}/submit", json=body, headers={"Idempotency-Key": "once"}, timeout=10
        )
    if call == "cancel":
        return requests.delete(f"{system.api}/jobs/{job_id}", timeout=10)
    return requests.post(f"{system.api}/jobs/{job_id}/retry", timeout=10)


def _try(system: System, call: str, user: str, job_id: str) -> dict[str, str] | None:
    try:
        answer = _call(system, call, user, job_id)
    except requests.ConnectionError:
        return None
    # The retry had already taken effect: the job is queued or further, which 409 reports.
    assert answer.status_code in (200, 202, 409), answer.text
    return dict(answer.json())


def test_a_training_survives_a_killed_scheduler_and_is_found_again(system: System) -> None:
    job_id = system.submitted("found", {"seconds": 3})
    system.wait_status(job_id, "running")
    system.kill("scheduler")
    time.sleep(0.5)
    system.start_one("scheduler")
    job = system.wait_status(job_id, "succeeded")
    assert job["attempt"] == 1
    assert [life["what"] for life in system.lives(job_id)] == ["arrive", "start", "end"]


def test_a_killed_monitor_makes_jobs_wait_with_that_reason(system: System) -> None:
    system.kill("monitor")
    wait_for(
        "its worker is gone too",
        lambda: not system.answers(f"http://127.0.0.1:{system.monitor_port}/healthz"),
        10,
    )
    job_id = system.submitted("waits", {"seconds": 0.1})
    wait_for(
        "the reason", lambda: system.job(job_id)["reason"]["code"] == "monitor_unavailable", 10
    )
    system.start_one("monitor")
    system.wait_status(job_id, "succeeded")
