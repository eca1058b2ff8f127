"""Whatever the way to Redis does to a script of the scheduler: it takes effect once, and the job
runs once.
"""

from collections.abc import Iterator

import pytest

from devtools.cluster.proxy import Fault
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for

NODES = (4,)
SETTINGS = {"REDIS_RETRY_DELAY_S": "0.5"}
FAULTS = (Fault.RESET, Fault.RESET_AFTER, Fault.TRUNCATE)
SCRIPT = r"EVALSHA[\s\S]*"


@pytest.fixture(autouse=True)
def sound(system: ClusterSystem) -> Iterator[None]:
    yield
    system.redis_proxy.heals()
    system.wait_sound()


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_script(system: ClusterSystem, trainings: Trainings, nth: int) -> None:
    """The nth script of a job's life: admit, record, running, finish (with what explains it in
    between).

    Three jobs at once: a reset before it took effect, one after, and half an answer.
    """
    jobs = {_blocked(system, f"a-{nth}-{fault.split()[-1]}"): fault for fault in FAULTS}
    for job_id in jobs:
        system.redis_proxy.fails(Fault.DELAY, SCRIPT + job_id, times=nth - 1)
    rules = [system.redis_proxy.fails(fault, SCRIPT + job_id) for job_id, fault in jobs.items()]
    system.monitors.busy.clear()
    for job_id in jobs:
        job = system.wait_status(job_id, "succeeded", "failed", timeout_s=60)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
        assert [pod for pod, *_ in trainings.ran].count(system.workflow_name(job_id)) == 1
    assert [rule.hits for rule in rules] == [1, 1, 1]


def test_a_redis_that_is_silent(system: ClusterSystem) -> None:
    """Half-open: given up after the client's timeout."""
    job_id = _blocked(system, "b")
    rule = system.redis_proxy.fails(Fault.DROP, SCRIPT + job_id)
    system.monitors.busy.clear()
    assert system.wait_status(job_id, "succeeded", timeout_s=60)["attempt"] == 1
    assert rule.hits == 1


def test_nobody_listens(system: ClusterSystem) -> None:
    running = system.submitted("c", {"seconds": 2})
    system.wait_status(running, "running")
    system.redis_proxy.refuse()
    wait_for("it is noticed", lambda: "Redis is unavailable." in system.log("scheduler"))
    system.redis_proxy.accept()
    assert system.wait_status(running, "succeeded", timeout_s=60)["attempt"] == 1


def _blocked(system: ClusterSystem, user: str) -> str:
    """A job that waits, until the monitors say that nothing is busy."""
    for node, gpus in system.nodes.items():
        system.monitors.busy[node] = tuple(range(gpus))
    job_id = system.submitted(user, {"seconds": 0.2})
    wait_for("it waits", lambda: system.reason(job_id)[0] in ("resources_busy", "waiting_turn"))
    return job_id
