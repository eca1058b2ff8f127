"""Two schedulers, of which one acts: no job is made or run twice."""

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
        ("scheduler.admit.after", 1),  # it looks at its lease once more, and makes nothing
        (
            "argo.create.configmap",
            2,
        ),  # too late for that: its create meets the Workflow that is there
    ],
)
def test_a_leader_that_stops_before_its_create_and_wakes_after_the_end(
    system: ClusterSystem, trainings: Trainings, tmp_path: Path, point: str, creates: int
) -> None:
    fired = tmp_path / "fired"
    system.kill("scheduler", signal.SIGTERM)
    led = system.log("scheduler").count("Leads.")
    system.start_one("scheduler", FAILPOINT=f"{point}:sleep:3", FAILPOINT_ONCE=str(fired))
    wait_for("it leads", lambda: system.log("scheduler").count("Leads.") > led)
    system.start_one("standby")
    before = len(system.api_proxy.calls)
    job_id = system.submitted(f"a{creates}", {"seconds": 0.2})
    wait_for("it is about to create", fired.exists)
    freeze(system.processes["scheduler"])
    job = system.wait_status(job_id, "succeeded", timeout_s=60)
    assert job["attempt"] == 1
    thaw(system.processes["scheduler"])
    woken = len(system.store.timeline(job_id))
    wait_for("the late one has gone on", lambda: _stands_by(system), 30)
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
    wait_for("the second one stands by", lambda: "Stands by" in system.log("standby"))
    system.kill("scheduler")
    trainings.end(pod, 0)
    assert system.wait_status(job_id, "succeeded")["attempt"] == 1


def _stands_by(system: ClusterSystem) -> bool:
    """Whether the scheduler that was stopped has found out that it leads no more."""
    log = system.log("scheduler").rpartition("Leads.")[2]
    return "Lost the lead" in log or "Stands by" in log
