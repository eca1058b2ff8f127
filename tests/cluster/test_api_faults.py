"""Calls to the API server fail in every way: a job has one Workflow, which runs once."""

from collections.abc import Iterator

import pytest

from devtools.cluster.plane import Plane
from devtools.cluster.proxy import Fault
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for

NODES = (4,)

CREATE = r"^POST .*/workflows$"
CONFIG = r"^POST .*/configmaps$"
OWNER = r"^PATCH .*/configmaps/"
LIST = r"^GET .*/workflows\?(?!.*watch)"
LOOK = r"^GET .*/workflows/"
POD = r"^GET .*/pods\?"


@pytest.fixture(autouse=True)
def sound(system: ClusterSystem) -> Iterator[None]:
    """After each test calls get through again, and no promise is broken."""
    yield
    system.api_proxy.heals()
    system.wait_sound()


def ends_once(system: ClusterSystem, user: str, trainings: Trainings) -> None:
    """A job that meets the fault succeeds, in its first attempt, with one Workflow that ran one
    pod.
    """
    ended_once(system, system.submitted(user, {"seconds": 0.2}), trainings)


def ended_once(system: ClusterSystem, job_id: str, trainings: Trainings) -> None:
    job = system.wait_status(job_id, "succeeded", "failed", "cancelled", timeout_s=90)
    assert (job["status"], job["attempt"], job["requeues"]) == ("succeeded", 1, 0)
    assert system.workflows_of(job_id) == [system.workflow_name(job_id)]
    assert [pod for pod, *_ in trainings.ran].count(system.workflow_name(job_id)) == 1


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.RESET_AFTER, 0),
        (Fault.ANSWER_AFTER, 500),
        (Fault.ANSWER_AFTER, 504),
        (Fault.TRUNCATE, 0),
        (Fault.RESET, 0),
        (Fault.ANSWER, 409),
        (Fault.ANSWER, 500),
        (Fault.ANSWER, 503),
    ],
    ids=str,
)
def test_the_create(system: ClusterSystem, trainings: Trainings, fault: Fault, status: int) -> None:
    rule = system.api_proxy.fails(fault, CREATE, status=status)
    ends_once(system, f"a-{fault.replace(' ', '-')}-{status}", trainings)
    assert rule.hits == 1


def test_a_create_that_is_throttled(system: ClusterSystem, trainings: Trainings) -> None:
    """429: certainly not made; it comes again, not before the server said so."""
    rule = system.api_proxy.fails(Fault.ANSWER, CREATE, status=429, retry_after_s=1)
    ends_once(system, "b", trainings)
    assert rule.hits == 1


def test_a_create_that_is_refused_for_good(system: ClusterSystem) -> None:
    rule = system.api_proxy.fails(Fault.ANSWER, CREATE, status=422)
    job_id = system.submitted("c", {"seconds": 0})
    job = system.wait_status(job_id, "failed")
    assert (job["reason"]["code"], rule.hits) == ("rejected", 1)
    assert "the test says so" in job["reason"]["message"]
    assert system.workflows_of(job_id) == []
    path = f"/api/v1/namespaces/{system.namespace}/configmaps/{system.workflow_name(job_id)}"
    assert system.admin.find(path) is None


def test_a_cancel_while_nobody_knows_whether_it_was_made(system: ClusterSystem) -> None:
    """Nothing was: the job ends as cancelled, and what was made for its Workflow goes."""
    create = system.api_proxy.fails(Fault.RESET, CREATE)
    system.api_proxy.fails(Fault.DELAY, LOOK, seconds=1)
    job_id = system.submitted("cc", {"seconds": 0})
    path = f"/api/v1/namespaces/{system.namespace}/configmaps/{system.workflow_name(job_id)}"
    wait_for("its create is not answered", lambda: create.hits == 1)
    assert system.admin.find(path) is not None
    system.cancel(job_id)
    system.wait_status(job_id, "cancelled")
    wait_for("its ConfigMap is gone", lambda: system.admin.find(path) is None)
    assert system.workflows_of(job_id) == []


@pytest.mark.parametrize(
    "call", [CONFIG, OWNER, LIST, LOOK, POD], ids=["config", "owner", "list", "look", "pod"]
)
def test_the_other_calls(
    request: pytest.FixtureRequest, system: ClusterSystem, trainings: Trainings, call: str
) -> None:
    """Three jobs at once, whose calls meet a reset, a 503 and half an answer."""
    faults = (Fault.RESET_AFTER, Fault.ANSWER, Fault.TRUNCATE)
    rules = [system.api_proxy.fails(fault, call, status=503) for fault in faults]
    user = request.node.callspec.id
    jobs = [
        system.submitted(f"d-{user}-{number}", {"seconds": 0.2}) for number in range(len(faults))
    ]
    for job_id in jobs:
        ended_once(system, job_id, trainings)
    assert [rule.hits for rule in rules] == [1, 1, 1]


def test_nobody_listens(system: ClusterSystem, trainings: Trainings) -> None:
    running = system.submitted("f1", {"seconds": 3})
    system.wait_status(running, "running")
    system.api_proxy.refuse()
    waiting = system.submitted("f2", {"seconds": 0})
    wait_for(
        "it says so",
        lambda: "cannot be reached" in str(system.store.heartbeat()) or _said(system),
        30,
    )
    assert system.job(running)["status"] == "running"
    system.api_proxy.accept()
    for job_id in (running, waiting):
        assert system.wait_status(job_id, "succeeded", timeout_s=60)["attempt"] == 1


def test_the_api_server_is_killed_and_started_again(
    system: ClusterSystem, cluster: Plane, trainings: Trainings
) -> None:
    running = system.submitted("g1", {"seconds": 6})
    system.wait_status(running, "running")
    cluster.kill("kube-apiserver")
    waiting = system.submitted("g2", {"seconds": 0})
    wait_for("it says so", lambda: _said(system), 30)
    assert system.job(running)["status"] == "running"
    cluster.start_api_server()
    for job_id in (running, waiting):
        assert system.wait_status(job_id, "succeeded", timeout_s=90)["attempt"] == 1
        assert [pod for pod, *_ in trainings.ran].count(system.workflow_name(job_id)) == 1


def _said(system: ClusterSystem) -> bool:
    """Return whether the heartbeat reports that the API server does not answer."""
    return "is not responding" in str(system.store.heartbeat())
