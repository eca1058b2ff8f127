"""A whole gpuq on a cluster: the real services as processes and a real Valkey, with a namespace and nodes of their own.

The scheduler has the ServiceAccount, the rights and the template that deploy/ ships, and reaches API server and Redis
through proxies that a test may make fail. What is looked at behind its back is asked for by an admin.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
import yaml

from jobqueue.invariants import LiveWorkflow, violations
from tests.cluster.api import Object
from tests.cluster.cluster import GPU, Cluster, RealCluster
from tests.cluster.monitors import Monitors
from tests.cluster.plane import LOG_LINES, Plane
from tests.cluster.pod import LABEL_WORKFLOW
from tests.cluster.proxy import ApiProxy, TcpProxy
from tests.system import ROOT, System, wait_for
from workflows.render import LABEL_JOB

_NAMESPACED = ("ServiceAccount", "Role", "RoleBinding", "Secret", "PersistentVolumeClaim")
_NUMBERS = itertools.count(1)
_FINAL = ("Succeeded", "Failed", "Error")


class ClusterSystem(System):
    """`nodes`: how many GPUs each of its nodes has; they are named after the namespace."""

    def __init__(self, folder: Path, cluster: Cluster, nodes: tuple[int, ...] = (2,), **env: str) -> None:
        self.namespace = f"gpuq-test-{next(_NUMBERS)}"
        self.cluster, self.admin = cluster, cluster.admin
        self.is_real = isinstance(cluster, RealCluster)
        names = {f"{self.namespace}-{number}": gpus for number, gpus in enumerate(nodes, start=1)}
        self.nodes = cluster.nodes() if isinstance(cluster, RealCluster) else names
        self.monitors = Monitors(self.nodes)
        self.api_proxy = ApiProxy(cluster.url, cluster.ca, cluster.authority)
        super().__init__(folder, **{**self._cluster_env(), **self.monitors.env, **env})
        self.redis_proxy = TcpProxy(self.redis_port)
        self.templates = folder / "templates"
        self.add_template("toy", _with_a_shell if self.is_real else _as_it_is)

    def add_template(self, name: str, change: Callable[[Object], None]) -> None:
        """The shipped template under another name, and with this change; its configs are not checked."""
        template = yaml.safe_load((self.templates / "proto-gcn-workflow.yaml").read_text(encoding="utf-8"))
        change(template)
        (self.templates / f"{name}-workflow.yaml").write_text(yaml.safe_dump(template), encoding="utf-8")

    def _cluster_env(self) -> dict[str, str]:
        return {
            "ENGINE": "argo",
            "WORKFLOW_NAMESPACE": self.namespace,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'cluster' / 'resolver'}",
            "REQUIRE_GPU": str(any(self.nodes.values())).lower(),
            "MAX_RUNNING_JOBS": "100",
            "POLL_INTERVAL_S": "0.5",
        }

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self, *services: str) -> "ClusterSystem":
        self.prepare()
        super().start(*(services or ("redis", "queue_manager", "scheduler")))
        return self

    def prepare(self) -> None:
        """Namespace, accounts, rights, claim and nodes."""
        self.cluster.add_namespace(self.namespace)
        self.admin.apply_all(self._objects())
        config = self.cluster.kubeconfig_of_account(self.namespace, "scheduler", self.api_proxy.url)
        self.env["KUBECONFIG"] = str(config)
        if isinstance(self.cluster, Plane):
            for name, gpus in self.nodes.items():
                self.cluster.add_node(name, gpus)
            claim = self._path("persistentvolumeclaims", "gpuq-data", root="/api/v1")
            wait_for("the claim is bound", lambda: self.admin.get(claim)["status"].get("phase") == "Bound")

    def _objects(self) -> list[Object]:
        """A real cluster's disks are left alone."""
        objects = lab_objects(self.namespace)
        return [item for item in objects if not (self.is_real and item["kind"].startswith("PersistentVolume"))]

    def start_one(self, service: str, **env: str) -> None:
        """A scheduler (`scheduler`, `standby`) reaches Redis through the proxy, the API directly."""
        if service in ("scheduler", "standby"):
            env = {"REDIS_URL": f"redis://127.0.0.1:{self.redis_proxy.port}/0", **env}
        super().start_one(service, **env)

    def stop(self) -> None:
        """End and remove everything of it; the control plane goes on."""
        for service in list(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.kill(service, signal.SIGKILL)
        if self._valkey is not None and self._valkey._process.poll() is None:
            self._valkey.stop()
        self.api_proxy.close()
        self.redis_proxy.close()
        self.monitors.close()
        self._clear()

    def _clear(self) -> None:
        """Without its nodes nothing of it goes on; the namespace's end is not waited for."""
        if isinstance(self.cluster, Plane):
            if "kube-apiserver" not in self.cluster.processes:
                return
            for node in self.nodes:
                if self.admin.find(f"/api/v1/nodes/{node}"):
                    self.cluster.remove_node(node)
        self.admin.delete(f"/api/v1/namespaces/{self.namespace}")
        for item in self._objects():
            if "namespace" not in item["metadata"]:
                self.admin.delete(self.admin.path(item))

    def wait_status(self, job_id: str, *statuses: str, timeout_s: float = 30) -> dict[str, Any]:
        """On a real cluster there are images to start and Argo's own pauses to wait for."""
        return super().wait_status(job_id, *statuses, timeout_s=timeout_s * (4 if self.is_real else 1))

    # -- as a user -------------------------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> requests.Response:
        return requests.delete(f"{self.api}/jobs/{job_id}", timeout=10)

    def reason(self, job_id: str) -> tuple[str, str]:
        reason = self.job(job_id)["reason"]
        return reason["code"], reason["message"]

    def wait_reason(self, job_id: str, says: str, timeout_s: float = 30) -> tuple[str, str]:
        """The reason (code, message) as soon as one of them has `says` in it."""
        found: list[tuple[str, str]] = []

        def said() -> bool:
            found[:] = [self.reason(job_id)]
            return says in found[0][0] or says in found[0][1]

        try:
            wait_for(f"{job_id} says {says!r}", said, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {found}; {self.log('scheduler')[-3000:]}") from error
        return found[0]

    def wait_cycles(self, number: int) -> None:
        """Until the scheduler has gone round so many times more."""
        for _ in range(number):
            seen = self.store.heartbeat()
            wait_for("another cycle", lambda seen=seen: self.store.heartbeat() != seen)

    def wait_resumed(self, job_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """The job's record as soon as its second attempt runs."""

        def seen() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if (job["attempt"], job["status"]) == (2, "running") else None

        return dict(wait_for(f"{job_id} runs again", seen, timeout_s))

    def restart_scheduler(self) -> None:
        self.kill("scheduler", signal.SIGTERM)
        self.start_one("scheduler")

    # -- as an admin of the cluster --------------------------------------------------------------------------------

    def workflow_path(self, name: str) -> str:
        return self._path("workflows", name)

    def pod_path(self, name: str) -> str:
        return self._path("pods", name, root="/api/v1")

    def workflows(self) -> list[Object]:
        """All Workflows of the namespace, whoever made them, by name."""
        return sorted(self.admin.items(self._path("workflows")), key=lambda item: str(item["metadata"]["name"]))

    def workflow_name(self, job_id: str) -> str:
        """What the Workflow of its first attempt is called."""
        return f"toy-{job_id.replace('_', '-')}"

    def workflows_of(self, job_id: str) -> list[str]:
        return [item["metadata"]["name"] for item in self.workflows() if _label(item, LABEL_JOB) == job_id]

    def pod_of(self, job_id: str) -> Object | None:
        """The newest pod of the job, None where there is none."""
        names = self.workflows_of(job_id)
        pods = [self.admin.find(self.pod_path(name)) for name in names[-1:]]
        return pods[0] if pods else None

    def wait_pod(self, job_id: str, phase: str = "Running") -> Object:
        """Its pod as soon as it is in this phase."""

        def seen() -> Object | None:
            pod = self.pod_of(job_id)
            return pod if pod is not None and pod["status"]["phase"] == phase else None

        return dict(wait_for(f"the pod of {job_id} is {phase}", seen))

    def live_workflows(self) -> list[LiveWorkflow]:
        """Those of ours of which anything may still run, whatever Argo says: a stopped one's container may."""
        pods = self.admin.items(self._path("pods", root="/api/v1"), labelSelector=LABEL_WORKFLOW)
        busy = {_label(pod, LABEL_WORKFLOW) for pod in pods if pod["status"]["phase"] not in ("Succeeded", "Failed")}
        return [
            LiveWorkflow(item["metadata"]["name"], str(_label(item, LABEL_JOB)))
            for item in self.workflows()
            if _label(item, LABEL_JOB)
            and (item["metadata"]["name"] in busy or item.get("status", {}).get("phase") not in _FINAL)
        ]

    def workflow_names(self) -> list[str]:
        return [item["metadata"]["name"] for item in self.workflows()]

    def violations(self) -> list[str]:
        return violations(self.store, self.live_workflows(), self.acknowledged, gpus=self.nodes)

    def warn(self, pod: Object, reason: str, message: str) -> None:
        """An event about a pod, as the kubelet writes them."""
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
        """As if its pod had been made an hour ago: some looks are for pods that are not fresh any more."""
        [name] = self.workflows_of(job_id)
        hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        self.admin.patch(self.workflow_path(name), {"status": {"nodes": {name: {"startedAt": hour}}}})

    def lose_node(self, name: str) -> None:
        """The node is NotReady from now on."""
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
        """Meanwhile somebody else's pods hold all GPUs of these nodes (of all), and no monitor can see it."""
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


def _as_it_is(workflow: Object) -> None:
    """The shipped template is what is tested."""


def _with_a_shell(workflow: Object) -> None:
    """For a cluster that has no image of ours and no /data: any image with a shell plays the toy trainer."""
    lines = "; ".join(f"echo '{line}'" for line in LOG_LINES)
    read = "sed -n 's/.*\"*{}\"*: *\\([0-9]*\\).*/\\1/p' $CONFIG_FILE"
    script = f"{lines}; sleep $({read.format('seconds')}); code=$({read.format('exit')}); exit ${{code:-0}}"
    container = workflow["spec"]["templates"][0]["container"]
    container |= {"image": os.environ.get("E2E_IMAGE", "busybox:1.36"), "command": ["sh", "-c", script]}
    container["resources"] = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {GPU: 1, "memory": "64Mi"}}
    volumes = {volume["name"]: volume for volume in workflow["spec"]["volumes"]}
    volumes["data"].pop("persistentVolumeClaim")
    volumes["data"]["emptyDir"] = {}


def lab_objects(namespace: str) -> list[Object]:
    """What deploy/ gives scheduler and trainings, for another namespace: accounts, rights, token, volume and claim."""
    files = [ROOT / "deploy" / "base" / name for name in ("proto-gcn.yaml", "scheduler.yaml")]
    found = [item for file in files for item in yaml.safe_load_all(file.read_text(encoding="utf-8")) if item]
    return [_moved(item, namespace) for item in found if item["kind"] in _MOVES]


def _moved(item: Object, namespace: str) -> Object:
    return _MOVES[item["kind"]](item, namespace)


def _namespaced(item: Object, namespace: str) -> Object:
    item["metadata"]["namespace"] = namespace
    for subject in item.get("subjects", []):
        subject["namespace"] = namespace
    if item["kind"] == "PersistentVolumeClaim":
        item["spec"]["volumeName"] += f"-{namespace}"
    return item


def _cluster_wide(item: Object, namespace: str) -> Object:
    """One of several in this cluster: it gets a name of its own."""
    item["metadata"]["name"] += f"-{namespace}"
    for subject in item.get("subjects", []):
        subject["namespace"] = namespace
    if item["kind"] == "ClusterRoleBinding":
        item["roleRef"]["name"] += f"-{namespace}"
    if item["kind"] == "PersistentVolume":
        item["spec"]["claimRef"]["namespace"] = namespace
    return item


_MOVES: dict[str, Callable[[Object, str], Object]] = {
    **dict.fromkeys(_NAMESPACED, _namespaced),
    **dict.fromkeys(("ClusterRole", "ClusterRoleBinding", "PersistentVolume"), _cluster_wide),
}


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


@contextlib.contextmanager
def running(folder: Path, cluster: Cluster, *nodes: int, **env: str) -> Iterator[ClusterSystem]:
    """A started ClusterSystem that is stopped in the end, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    system = ClusterSystem(folder, cluster, nodes or (2,), **env)
    try:
        yield system.start()
    finally:
        system.stop()
