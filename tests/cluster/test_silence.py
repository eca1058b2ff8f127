"""Calls to the API server that nobody ever answers: given up after the client's timeout (15 s),
then cleared up.

Two systems at once, so that both wait for the same 15 s.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster.plane import Plane
from devtools.cluster.proxy import Fault
from devtools.cluster.system import ClusterSystem, running
from devtools.cluster.trainings import Trainings
from tests.cluster.test_api_faults import CREATE, LIST


@pytest.fixture
def other(cluster: Plane, tmp_path: Path) -> Iterator[ClusterSystem]:
    with running(tmp_path / "other", cluster) as system:
        yield system


def test_a_create_that_took_effect_and_a_list(
    system: ClusterSystem, other: ClusterSystem, trainings: Trainings
) -> None:
    """The create is not repeated, since its Workflow is there; a list that hangs touches nothing
    that runs.
    """
    running_job = other.submitted("ben", {"seconds": 600})
    pod = other.wait_pod(running_job)
    other.wait_status(running_job, "running")
    rules = system.api_proxy.fails(Fault.DROP, CREATE), other.api_proxy.fails(Fault.HALF_OPEN, LIST)
    job_id = system.submitted("ann", {"seconds": 0.2})
    job = system.wait_status(job_id, "succeeded", "failed", "cancelled", timeout_s=60)
    assert (job["status"], job["attempt"], job["requeues"]) == ("succeeded", 1, 0)
    assert system.workflows_of(job_id) == [system.workflow_name(job_id)]
    assert [name for name, *_ in trainings.ran].count(system.workflow_name(job_id)) == 1
    assert [rule.hits for rule in rules] == [1, 1]
    trainings.end(pod, 0)
    assert other.wait_status(running_job, "succeeded", timeout_s=60)["attempt"] == 1
    system.wait_sound()
    other.wait_sound()
