"""Two schedulers run, and one of them acts: no workflow is created twice, no job runs twice."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster.plane import freeze, thaw
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for

NODES = (2,)
CREATES = "/workflows"


@pytest.fixture(autouse=True)
def sound(system: ClusterSystem) -> Iterator[None]:
    yield
    for service in ("scheduler", "standby"):
        if service in system.processes:
            system.kill(service, signal.SIGKILL)
    system.start_one("scheduler")
    system.wait_status(system.submitted("next", {"seconds": 0}), "succeeded", timeout_s=60)
    system.wait_sound()


@pytest.mark.parametrize(
    ("point", "creates"),
    [
        # It checks its lease once more, and creates nothing.
        ("scheduler.admit.after", 1),
        # It is too late for that check: its create finds the Workflow that exists already.
        ("argo.create.configmap", 2),
    ],
)
def test_a_leader_that_stops_before_its_create_and_wakes_after_the_end(
    system: ClusterSystem, trainings: Trainings, tmp_path: Path, point: str, creates: int
) -> None:
    fired = tmp_path / "fired"
    system.kill("scheduler", signal.SIGTERM)
    led = system.log("scheduler").count("Became leader.")
    system.start_one("scheduler", FAILPOINT=f"{point}:sleep:3", FAILPOINT_ONCE=str(fired))
    wait_for("it is the leader", lambda: system.log("scheduler").count("Became leader.") > led)
    system.start_one("standby")
    before = len(system.api_proxy.calls)
    job_id = system.submitted(f"a{creates}", {"seconds": 0.2})
    wait_for("it is about to create", fired.exists)
    freeze(system.processes["scheduler"])
    job = system.wait_status(job_id, "succeeded", timeout_s=60)
    assert job["attempt"] == 1
    thaw(system.processes["scheduler"])
    woken = len(system.store.timeline(job_id))
    wait_for("the late one has resumed", lambda: _knows_it_lost(system), 30)
    posted = [
        call
        for call in system.api_proxy.calls[before:]
        if call.startswith("POST") and CREATES in call
    ]
    assert len(posted) == creates
    assert system.workflows_of(job_id) == [system.workflow_name(job_id)]
    assert [pod for pod, *_ in trainings.ran].count(system.workflow_name(job_id)) == 1
    assert len(system.store.timeline(job_id)) == woken
    assert system.job(job_id)["status"] == "succeeded"


def test_the_next_one_takes_over(system: ClusterSystem, trainings: Trainings) -> None:
    job_id = system.submitted("b", {"seconds": 600})
    pod = system.wait_pod(job_id)
    system.wait_status(job_id, "running")
    system.start_one("standby")
    wait_for("the second one is standing by", lambda: "Standing by" in system.log("standby"))
    system.kill("scheduler")
    trainings.end(pod, 0)
    assert system.wait_status(job_id, "succeeded")["attempt"] == 1


def _knows_it_lost(system: ClusterSystem) -> bool:
    """Return whether the scheduler that was stopped has found out that it lost the lead."""
    log = system.log("scheduler").rpartition("Became leader.")[2]
    return "Lost the lead" in log or "Standing by" in log
