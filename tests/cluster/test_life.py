"""A job's life on a cluster: real API server, kube-scheduler and queue; only Argo and the kubelets
are played.
"""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
import requests

from devtools.cluster.cluster import GPU
from devtools.cluster.controller import Controller
from devtools.cluster.plane import LOG_LINES
from devtools.cluster.pod import path_of
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for

NODES = (8,)
LONG = {"seconds": 600}
ARGO_RECREATES_S = 10  # RECENTLY_STARTED_POD_DURATION of its controller


@pytest.fixture(autouse=True)
def sound(system: ClusterSystem) -> Iterator[None]:
    """After each test nothing is in flight and no promise is broken."""
    yield
    system.wait_sound()


class TestItEnds:
    @pytest.mark.e2e
    def test_succeeded(self, system: ClusterSystem) -> None:
        job_id = system.submitted("ann", {"seconds": 1})
        job = system.wait_status(job_id, "succeeded")
        assert [step["to"] for step in job["timeline"]] == [
            "queued",
            "admitted",
            "running",
            "succeeded",
        ]
        assert (job["attempt"], job["exit_code"]) == (1, 0)
        assert job["node"] in system.nodes
        assert job["log_tail"] == list(LOG_LINES)

    @pytest.mark.e2e
    def test_with_exit_code_1(self, system: ClusterSystem) -> None:
        job = system.wait_status(system.submitted("f1", {"seconds": 0, "exit": 1}), "failed")
        assert (job["reason"]["code"], job["exit_code"]) == ("training_failed", 1)
        assert job["log_tail"] == list(LOG_LINES)

    @pytest.mark.e2e
    def test_with_exit_code_2(self, system: ClusterSystem) -> None:
        job = system.wait_status(system.submitted("f2", {"seconds": 0, "exit": 2}), "failed")
        assert (job["reason"]["code"], job["exit_code"]) == ("bad_config", 2)

    def test_out_of_memory(self, system: ClusterSystem) -> None:
        job = system.wait_status(
            system.submitted("f3", {"seconds": 0, "exit": 137, "reason": "OOMKilled"}), "failed"
        )
        assert (job["reason"]["code"], job["exit_code"]) == ("killed", 137)
        assert "16Gi" in job["reason"]["message"]
        assert job["log_tail"] == list(LOG_LINES)

    @pytest.mark.e2e
    def test_at_its_time_limit(self, system: ClusterSystem) -> None:
        # It counts from the pod's start: on a real node Argo's init container has its share of it.
        limit_s = 20 if system.is_real else 2
        job = system.wait_status(
            system.submitted("f4", LONG, time_limit_s=limit_s), "failed", timeout_s=90
        )
        assert job["reason"]["code"] == "time_limit"
        assert job["log_tail"] == list(LOG_LINES)


class TestItGoesOn:
    """Back to the front of the queue, and resumed under the next attempt's name."""

    @pytest.mark.e2e
    def test_a_busy_gpu(self, system: ClusterSystem) -> None:
        """The GPU was taken after all: its node is passed over for a while, and the requeue is not
        counted.
        """
        job_id = system.submitted("g1", {"seconds": 0, "exit": 75})
        job = wait_for("it is back", lambda: (job := system.job(job_id))["attempt"] == 2 and job)
        assert (job["status"], job["requeues"]) == ("queued", 0)
        assert system.cancel(job_id).status_code == 200
        system.wait_status(job_id, "cancelled")

    def test_a_busy_gpu_that_is_free_again(
        self, system: ClusterSystem, trainings: Trainings
    ) -> None:
        job_id = system.submitted("g0", LONG)
        pod = system.wait_pod(job_id)
        system.wait_status(job_id, "running")
        system.monitors.busy = {node: tuple(range(gpus)) for node, gpus in system.nodes.items()}
        trainings.end(pod, 75)
        system.wait_reason(job_id, "resources_busy")
        system.monitors.busy.clear()
        assert system.wait_resumed(job_id)["requeues"] == 0
        trainings.end(system.wait_pod(job_id), 0)
        system.wait_status(job_id, "succeeded")

    def test_evicted(self, system: ClusterSystem, trainings: Trainings) -> None:
        job_id = system.submitted("g2", LONG)
        trainings.evict(system.wait_pod(job_id))
        self._resumed(system, job_id)

    def test_before_any_that_waits(self, system: ClusterSystem, trainings: Trainings) -> None:
        """Both want all GPUs of the only node; the one that was evicted comes first."""
        [gpus] = system.nodes.values()
        first, second = (system.submitted(user, LONG, gpus=gpus) for user in ("g6", "g7"))
        pod = system.wait_pod(first)
        system.wait_status(first, "running")
        trainings.evict(pod)
        assert system.wait_resumed(first)["requeues"] == 1
        assert system.job(second)["status"] == "queued"
        for job_id in (second, first):
            system.cancel(job_id)
            system.wait_status(job_id, "cancelled")

    def test_drained(self, system: ClusterSystem) -> None:
        """`kubectl drain`: the eviction API, which deletes the pod."""
        job_id = system.submitted("g3", LONG)
        pod = system.wait_pod(job_id)
        name, namespace = pod["metadata"]["name"], system.namespace
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        system.admin.post(f"{path_of(pod)}/eviction", eviction)
        self._resumed(system, job_id)

    @pytest.mark.e2e
    def test_its_pod_deleted_by_hand(self, system: ClusterSystem) -> None:
        job_id = system.submitted("g4", LONG)
        pod = system.wait_pod(job_id)
        system.wait_status(job_id, "running")
        if system.is_real:  # Argo recreates a younger pod itself, within the same Workflow
            made_at = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
            wait_for(
                "it is older than ten seconds",
                lambda: time.time() > made_at + ARGO_RECREATES_S + 1,
            )
        system.admin.delete(path_of(pod))
        self._resumed(system, job_id)

    def test_its_pod_deleted_without_a_word(self, system: ClusterSystem) -> None:
        """`kubectl delete --force`: nobody ever learns how the container ended."""
        job_id = system.submitted("g5", LONG)
        pod = system.wait_pod(job_id)
        wait_for("Argo has seen it run", lambda: _node(system, job_id).get("phase") == "Running")
        system.admin.delete(path_of(pod), gracePeriodSeconds=0)
        self._resumed(system, job_id)

    def _resumed(self, system: ClusterSystem, job_id: str) -> None:
        job = system.wait_resumed(job_id, timeout_s=90)
        assert job["requeues"] == 1
        assert "evicted" in [step["code"] for step in job["timeline"]]
        first, second = system.workflows_of(job_id)
        assert second == f"{first}-r2"
        system.cancel(job_id)
        system.wait_status(job_id, "cancelled")


class TestCancel:
    def test_while_queued(self, system: ClusterSystem) -> None:
        first, second = system.submitted("c1", LONG), system.submitted("c1", LONG)
        system.wait_status(first, "running")
        assert system.cancel(second).json()["status"] == "cancelled"
        assert system.workflows_of(second) == []
        system.cancel(first)
        system.wait_status(first, "cancelled")

    def test_while_its_pod_waits(self, system: ClusterSystem) -> None:
        with system.gpus_taken():
            job_id = system.submitted("c2", LONG)
            system.wait_reason(job_id, "short_of_gpus")
            system.cancel(job_id)
            job = system.wait_status(job_id, "cancelled")
        assert job["started_at"] is None

    @pytest.mark.e2e
    def test_while_it_runs(self, system: ClusterSystem) -> None:
        job_id = system.submitted("c3", LONG)
        system.wait_status(job_id, "running")
        system.cancel(job_id)
        job = system.wait_status(job_id, "cancelled", timeout_s=90)
        assert job["exit_code"] == 143
        again = system.cancel(job_id)
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")

    def test_the_slot_is_held_until_the_container_has_ended(
        self, system: ClusterSystem, trainings: Trainings
    ) -> None:
        """Argo calls a stopped Workflow Failed at once, while the training still writes its
        checkpoint.
        """
        job_id = system.submitted("c4", {**LONG, "deaf": True})
        pod = system.wait_pod(job_id)
        system.wait_status(job_id, "running")
        system.cancel(job_id)
        wait_for("Argo says it failed", lambda: _status(system, job_id).get("phase") == "Failed")
        seen = system.store.heartbeat()
        wait_for("two cycles more", lambda: system.store.heartbeat() != seen)
        assert system.job(job_id)["status"] == "running"
        trainings.end(pod, 143)
        assert system.wait_status(job_id, "cancelled")["exit_code"] == 143

    def test_a_training_that_succeeded_first_has_succeeded(
        self, system: ClusterSystem, trainings: Trainings
    ) -> None:
        job_id = system.submitted("c5", {**LONG, "deaf": True})
        pod = system.wait_pod(job_id)
        system.wait_status(job_id, "running")
        system.cancel(job_id)
        wait_for("Argo says it failed", lambda: _status(system, job_id).get("phase") == "Failed")
        trainings.end(pod, 0)
        assert system.wait_status(job_id, "succeeded", "cancelled")["status"] == "succeeded"


class TestByHand:
    @pytest.mark.e2e
    def test_deleted(self, system: ClusterSystem) -> None:
        job_id = system.submitted("h1", LONG)
        system.wait_status(job_id, "running")
        [name] = system.workflows_of(job_id)
        system.admin.delete(system.workflow_path(name), propagationPolicy="Background")
        job = system.wait_status(job_id, "cancelled", timeout_s=90)
        assert job["reason"]["code"] == "workflow_deleted"

    @pytest.mark.e2e
    @pytest.mark.parametrize("strategy", ["Terminate", "Stop"])
    def test_terminated(self, system: ClusterSystem, strategy: str) -> None:
        job_id = system.submitted(f"h2-{strategy.lower()}", LONG)
        system.wait_status(job_id, "running")
        [name] = system.workflows_of(job_id)
        system.admin.patch(system.workflow_path(name), {"spec": {"shutdown": strategy}})
        job = system.wait_status(job_id, "cancelled", timeout_s=90)
        assert job["reason"]["code"] == "workflow_deleted"

    def test_suspended_is_running_and_says_so(
        self, system: ClusterSystem, trainings: Trainings
    ) -> None:
        job_id = system.submitted("h3", LONG)
        pod = system.wait_pod(job_id)
        system.wait_status(job_id, "running")
        [name] = system.workflows_of(job_id)
        system.admin.patch(system.workflow_path(name), {"spec": {"suspend": True}})
        system.wait_reason(job_id, "suspended")
        assert system.job(job_id)["status"] == "running"
        system.admin.patch(system.workflow_path(name), {"spec": {"suspend": None}})
        trainings.end(pod, 0)
        system.wait_status(job_id, "succeeded")

    def test_its_labels_edited_away(self, system: ClusterSystem, trainings: Trainings) -> None:
        """No list shows it any more, but it is known by name: it continues, and its end is seen."""
        job_id = system.submitted("h4", LONG)
        pod = system.wait_pod(job_id)
        system.wait_status(job_id, "running")
        [name] = system.workflows_of(job_id)
        labels = system.admin.get(system.workflow_path(name))["metadata"]["labels"]
        gone = {
            label: None
            for label in labels
            if label.startswith("gpuq/") or label.endswith("part-of")
        }
        system.admin.patch(system.workflow_path(name), {"metadata": {"labels": gone}})
        seen = system.store.heartbeat()
        wait_for("a cycle more", lambda: system.store.heartbeat() != seen)
        assert system.job(job_id)["status"] == "running"
        trainings.end(pod, 0)
        system.wait_status(job_id, "succeeded")

    def test_an_unmanaged_workflow_of_the_same_name(
        self, system: ClusterSystem, argo: Controller
    ) -> None:
        """It is neither adopted nor deleted: the job fails and says what is in the way."""
        job_id = self._held_up(system, "h5")
        name = system.workflow_name(job_id)
        unmanaged = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": name, "namespace": system.namespace},
            "spec": {
                "suspend": True,
                "entrypoint": "a",
                "templates": [{"name": "a", "suspend": {}}],
            },
        }
        uid = system.admin.apply(unmanaged)["metadata"]["uid"]
        self._let_go(system)
        job = system.wait_status(job_id, "failed")
        assert job["reason"]["code"] == "name_taken"
        assert system.admin.get(system.workflow_path(name))["metadata"]["uid"] == uid
        assert "shutdown" not in system.admin.get(system.workflow_path(name))["spec"]
        system.admin.delete(system.workflow_path(name))

    def test_an_unmanaged_config_map_of_the_same_name(self, system: ClusterSystem) -> None:
        job_id = self._held_up(system, "h6")
        name = system.workflow_name(job_id)
        metadata = {"name": name, "namespace": system.namespace}
        unmanaged = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"config": "mine"},
        }
        system.admin.apply(unmanaged)
        self._let_go(system)
        job = system.wait_status(job_id, "failed")
        assert job["reason"]["code"] == "name_taken"
        path = f"/api/v1/namespaces/{system.namespace}/configmaps/{name}"
        assert system.admin.get(path)["data"] == {"config": "mine"}
        system.admin.delete(path)
        assert system.workflows_of(job_id) == []

    def _held_up(self, system: ClusterSystem, user: str) -> str:
        """Return a job that waits in the queue for want of a node that passes."""
        node = next(iter(system.nodes))
        system.monitors.busy[node] = tuple(range(system.nodes[node]))
        job_id = system.submitted(user, {"seconds": 0})
        system.wait_reason(job_id, "resources_busy")
        return job_id

    def _let_go(self, system: ClusterSystem) -> None:
        system.monitors.busy.clear()


def test_what_the_pod_gets(system: ClusterSystem) -> None:
    """The config as it was submitted, in a ConfigMap that goes with the Workflow; the node that
    passed; its GPU.
    """
    (system.folder / "configs" / "mine.yaml").write_text("seconds: 600 # {{workflow.name}}\n")
    job_id = system.submitted("w1", "mine.yaml")
    pod = system.wait_pod(job_id)
    [name] = system.workflows_of(job_id)
    assert pod["metadata"]["name"] == name == system.workflow_name(job_id)
    config = system.admin.get(f"/api/v1/namespaces/{system.namespace}/configmaps/{name}")
    assert config["data"] == {"config": "seconds: 600 # {{workflow.name}}\n"}
    assert [owner["name"] for owner in config["metadata"]["ownerReferences"]] == [name]
    [main] = [container for container in pod["spec"]["containers"] if container["name"] == "main"]
    env = {item["name"]: item.get("value") for item in main["env"]}
    assert env["JOB_ID"] == job_id
    assert env["CONFIG_FILE"] == "/config/mine.yaml"
    assert main["resources"]["limits"][GPU] == "1"
    assert {mount["mountPath"]: mount.get("subPath") for mount in main["volumeMounts"]}[
        "/data/w1"
    ] == "w1"
    system.admin.delete(system.workflow_path(name), propagationPolicy="Background")
    path = f"/api/v1/namespaces/{system.namespace}/configmaps/{name}"
    wait_for("the ConfigMap goes with it", lambda: system.admin.find(path) is None)
    system.wait_status(job_id, "cancelled")


def test_a_retry_is_the_next_attempt(system: ClusterSystem) -> None:
    job_id = system.submitted("w2", {"seconds": 0, "exit": 1})
    system.wait_status(job_id, "failed")
    assert requests.post(f"{system.api}/jobs/{job_id}/retry", timeout=10).status_code == 202
    wait_for(
        "it has failed again",
        lambda: [step["to"] for step in system.job(job_id)["timeline"]].count("failed") == 2,
    )
    first, second = system.workflows_of(job_id)
    assert (second, system.job(job_id)["attempt"]) == (f"{first}-r2", 2)


def _status(system: ClusterSystem, job_id: str) -> dict:
    """Return what Argo says of the job's newest Workflow."""
    return dict(
        system.admin.get(system.workflow_path(system.workflows_of(job_id)[-1])).get("status", {})
    )


def _node(system: ClusterSystem, job_id: str) -> dict:
    return next(iter(_status(system, job_id).get("nodes", {}).values()), {})
