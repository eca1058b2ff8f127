"""A job whose container does not start: it is told why by the pod's own words, and nobody waits
behind it for ever.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from devtools.cluster.pod import path_of
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings

NODES = (2,)
SETTINGS = {"START_DEADLINE_S": "2", "MAX_RUNNING_JOBS": "1"}


def _waits(workflow: dict[str, Any]) -> None:
    """kwok leaves its pod alone: what becomes of it is said by the test."""
    workflow["spec"]["podMetadata"]["annotations"] = {"tests/waits": "true"}


def _without_claim(workflow: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in workflow["spec"]["volumes"]}
    volumes["data"]["persistentVolumeClaim"]["claimName"] = "nothing"


def _as_root(workflow: dict[str, Any]) -> None:
    workflow["spec"]["securityContext"] = {"runAsUser": 0}


@pytest.fixture(autouse=True)
def following(system: ClusterSystem) -> Iterator[None]:
    """After each test the next job can start, and no promise is broken."""
    for name, change in {"waits": _waits, "noclaim": _without_claim, "root": _as_root}.items():
        system.add_template(name, change)
    yield
    system.wait_status(system.submitted("next", {"seconds": 0}), "succeeded")
    system.wait_sound()


def test_an_image_that_cannot_be_pulled(system: ClusterSystem, trainings: Trainings) -> None:
    job_id = system.submitted("ann", workflow="waits")
    said = 'failed to resolve reference "proto-gcn:latest": not found'
    trainings.wait_with(system.wait_pod(job_id, "Pending"), "ErrImagePull", said)
    system.wait_reason(job_id, "ErrImagePull")
    job = system.wait_status(job_id, "failed")
    assert job["reason"]["code"] == "start_deadline"
    assert said in job["reason"]["message"]


def test_a_claim_that_is_missing(system: ClusterSystem) -> None:
    job = system.wait_status(system.submitted("ben", workflow="noclaim"), "failed")
    assert job["reason"]["code"] == "start_deadline"
    assert 'persistentvolumeclaim "nothing" not found' in job["reason"]["message"]


def test_a_config_map_that_cannot_be_mounted(system: ClusterSystem) -> None:
    """The pod itself says only ContainerCreating; the reason is in its events."""
    job_id = system.submitted("cem", workflow="waits")
    pod = system.wait_pod(job_id, "Pending")
    name = pod["metadata"]["name"]
    said = f'MountVolume.SetUp failed for volume "config" : configmap "{name}" not found'
    system.warn(pod, "FailedMount", said)
    system.age(job_id)
    job = system.wait_status(job_id, "failed")
    assert job["reason"]["code"] == "start_deadline"
    assert said in job["reason"]["message"]


def test_the_last_look_is_a_close_one(system: ClusterSystem) -> None:
    """A pod is not asked as long as it is young; but before its job fails, it is."""
    job_id = system.submitted("cec", workflow="waits")
    said = (
        'MountVolume.SetUp failed for volume "data": '
        "hostPath type check failed: /data is not a directory"
    )
    system.warn(system.wait_pod(job_id, "Pending"), "FailedMount", said)
    job = system.wait_status(job_id, "failed")
    assert job["reason"]["code"] == "start_deadline"
    assert said in job["reason"]["message"]


def test_a_users_folder_that_is_missing(system: ClusterSystem, trainings: Trainings) -> None:
    """The reason names the command that fixes it."""
    job_id = system.submitted("dan", workflow="waits")
    said = 'failed to prepare subPath for volumeMount "data" of container "main"'
    trainings.wait_with(system.wait_pod(job_id, "Pending"), "CreateContainerConfigError", said)
    job = system.wait_status(job_id, "failed")
    assert said in job["reason"]["message"]
    assert "install -d -o 1000 -g 1000 /data/dan" in job["reason"]["message"]


def test_a_pod_that_admission_refuses(system: ClusterSystem) -> None:
    """Argo ends such a Workflow itself, with the API server's words."""
    job = system.wait_status(system.submitted("eva", workflow="root"), "failed")
    assert "violates PodSecurity" in job["reason"]["detail"]
    assert job["started_at"] is None


def test_no_gpu_to_be_had(system: ClusterSystem) -> None:
    """It waits, says so, and starts when one is given back; its deadline does not run meanwhile."""
    with system.gpus_taken():
        job_id = system.submitted("fay", {"seconds": 0})
        code, _ = system.wait_reason(job_id, "Insufficient nvidia.com/gpu")
        assert code == "short_of_gpus"
        system.wait_cycles(6)  # longer than START_DEADLINE_S
        assert system.job(job_id)["status"] == "admitted"
        assert system.get("/status/fay")["reason"]["code"] == "short_of_gpus"
    system.wait_status(job_id, "succeeded")


def test_a_node_that_stopped_answering_before_it_took_the_pod(system: ClusterSystem) -> None:
    """Nobody's pod starts there: it is not the job's fault, and its deadline does not run."""
    [node] = system.nodes
    system.lose_node(node)
    job_id = system.submitted("hal", {"seconds": 0})
    system.wait_reason(job_id, f"The pod cannot be scheduled on {node}")
    system.wait_cycles(6)  # longer than START_DEADLINE_S
    assert system.job(job_id)["status"] == "admitted"
    system.find_node(node)
    assert system.wait_status(job_id, "succeeded", "failed")["status"] == "succeeded"


def test_a_node_that_is_cordoned(system: ClusterSystem) -> None:
    [node] = system.nodes
    path = f"/api/v1/nodes/{node}"
    system.admin.patch(path, {"spec": {"unschedulable": True}})
    job_id = system.submitted("ivo", {"seconds": 0})
    system.wait_reason(job_id, f"kubectl uncordon {node}")
    system.wait_cycles(6)  # longer than START_DEADLINE_S
    assert system.job(job_id)["status"] == "admitted"
    system.admin.patch(path, {"spec": {"unschedulable": None}})
    assert system.wait_status(job_id, "succeeded", "failed")["status"] == "succeeded"


def test_a_pod_that_is_slow_may_take_its_time_within_the_deadline(system: ClusterSystem) -> None:
    job_id = system.submitted("gil", {"seconds": 0}, workflow="waits")
    pod = system.wait_pod(job_id, "Pending")
    system.admin.patch(path_of(pod), {"metadata": {"annotations": {"tests/waits": None}}})
    system.wait_status(job_id, "succeeded")
