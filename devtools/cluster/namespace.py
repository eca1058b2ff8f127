"""This module shows and changes a gpuq's namespace directly, as an admin of the cluster does."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from devtools.cluster.api import Api, Object
from devtools.cluster.cluster import GPU
from devtools.cluster.pod import LABEL_WORKFLOW
from devtools.testbed.invariants import LiveWorkflow
from devtools.testbed.system import wait_for
from workflows.render import LABEL_JOB

_FINAL = ("Succeeded", "Failed", "Error")


class Namespace:
    """The namespace has these `nodes` (name -> GPUs)."""

    namespace: str
    nodes: dict[str, int]
    admin: Api

    def workflow_path(self, name: str) -> str:
        return self._path("workflows", name)

    def pod_path(self, name: str) -> str:
        return self._path("pods", name, root="/api/v1")

    def workflows(self) -> list[Object]:
        """Return all Workflows of the namespace by name, unmanaged ones too."""
        return sorted(
            self.admin.items(self._path("workflows")),
            key=lambda item: str(item["metadata"]["name"]),
        )

    def workflow_name(self, job_id: str) -> str:
        """Return the name of the Workflow of the job's first attempt."""
        return f"toy-{job_id.replace('_', '-')}"

    def workflows_of(self, job_id: str) -> list[str]:
        return [
            item["metadata"]["name"]
            for item in self.workflows()
            if _label(item, LABEL_JOB) == job_id
        ]

    def pod_of(self, job_id: str) -> Object | None:
        """Return the job's newest pod; None if there is none."""
        names = self.workflows_of(job_id)
        pods = [self.admin.find(self.pod_path(name)) for name in names[-1:]]
        return pods[0] if pods else None

    def wait_pod(self, job_id: str, phase: str = "Running") -> Object:
        """Return the job's pod as soon as it is in this phase."""

        def seen() -> Object | None:
            pod = self.pod_of(job_id)
            return pod if pod is not None and pod["status"]["phase"] == phase else None

        return dict(wait_for(f"the pod of {job_id} is {phase}", seen))

    def live_workflows(self) -> list[LiveWorkflow]:
        """Return our workflows that may still run; the container of a stopped one may."""
        pods = self.admin.items(self._path("pods", root="/api/v1"), labelSelector=LABEL_WORKFLOW)
        busy = {
            _label(pod, LABEL_WORKFLOW)
            for pod in pods
            if pod["status"]["phase"] not in ("Succeeded", "Failed")
        }
        return [
            LiveWorkflow(item["metadata"]["name"], str(_label(item, LABEL_JOB)))
            for item in self.workflows()
            if _label(item, LABEL_JOB)
            and (
                item["metadata"]["name"] in busy
                or item.get("status", {}).get("phase") not in _FINAL
            )
        ]

    def workflow_names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.workflows()]

    def warn(self, pod: Object, reason: str, message: str) -> None:
        """Create an event about a pod, as the kubelet does."""
        metadata, now = pod["metadata"], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        about = {"kind": "Pod", "apiVersion": "v1", "namespace": self.namespace}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "warning-", "namespace": self.namespace},
            "involvedObject": {**about, "name": metadata["name"], "uid": metadata["uid"]},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self.admin.post(self._path("events", root="/api/v1"), event)

    def age(self, job_id: str) -> None:
        """Make the pod an hour old: the scheduler does not inspect new pods closely."""
        [name] = self.workflows_of(job_id)
        hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        self.admin.patch(
            self.workflow_path(name), {"status": {"nodes": {name: {"startedAt": hour}}}}
        )

    def lose_node(self, name: str) -> None:
        """Make the node NotReady from now on."""
        self._set_ready(name, "true", "False")

    def find_node(self, name: str) -> None:
        self._set_ready(name, None, "True")

    def _set_ready(self, name: str, label: str | None, expected: str) -> None:
        path = f"/api/v1/nodes/{name}"
        self.admin.patch(path, {"metadata": {"labels": {"tests/not-ready": label}}})

        def said() -> bool:
            conditions = self.admin.get(path)["status"]["conditions"]
            return [item["status"] for item in conditions if item["type"] == "Ready"] == [expected]

        wait_for(f"{name} is Ready={expected}", said)

    @contextlib.contextmanager
    def gpus_taken(self, *nodes: str) -> Iterator[None]:
        """Let other pods have all GPUs of these nodes (by default of all), unseen by monitors."""
        taken = nodes or tuple(self.nodes)
        for node in taken:
            self.admin.post(self.pod_path(""), _somebody_elses(node, self.nodes[node]))
        try:
            yield
        finally:
            for node in taken:
                self.admin.delete(self.pod_path(node), gracePeriodSeconds=0)

    def _path(self, plural: str, name: str = "", root: str = "/apis/argoproj.io/v1alpha1") -> str:
        return f"{root}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")


def _label(item: Object, name: str) -> str | None:
    labels: dict[str, Any] = item["metadata"].get("labels", {})
    return labels.get(name)


def _somebody_elses(node: str, gpus: int) -> Object:
    container = {
        "name": "main",
        "image": "cuda",
        "resources": {"limits": {GPU: str(gpus)}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    safe = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": safe, "nodeName": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": spec}
