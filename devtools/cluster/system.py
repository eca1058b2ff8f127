"""This module runs a whole gpuq on a cluster, with its own namespace and nodes.

The services are real processes, and so is Valkey.

The scheduler has the ServiceAccount, the rights and the template that deploy/ ships, and reaches
API server and Redis through proxies that a test may make fail. The checks of the tests ask the API
server as an admin.
"""

import contextlib
import itertools
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests
import yaml

from devtools import ROOT
from devtools.cluster.api import Object
from devtools.cluster.cluster import Cluster, RealCluster
from devtools.cluster.lab import as_it_is, lab_objects, with_a_shell
from devtools.cluster.monitors import Monitors
from devtools.cluster.namespace import Namespace
from devtools.cluster.plane import Plane
from devtools.cluster.proxy_api import ApiProxy
from devtools.cluster.proxy_redis import TcpProxy
from devtools.testbed.invariants import violations
from devtools.testbed.system import System, wait_for

_NUMBERS = itertools.count(1)


class ClusterSystem(Namespace, System):
    """The system has these `nodes` (a number of GPUs each), named after the namespace."""

    def __init__(
        self, folder: Path, cluster: Cluster, nodes: tuple[int, ...] = (2,), **env: str
    ) -> None:
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
        self.add_template("toy", with_a_shell if self.is_real else as_it_is)

    def add_template(self, name: str, change: Callable[[Object], None]) -> None:
        """Add the shipped template under another name, changed; its configs are not checked."""
        template = yaml.safe_load(
            (self.templates / "proto-gcn-workflow.yaml").read_text(encoding="utf-8")
        )
        change(template)
        (self.templates / f"{name}-workflow.yaml").write_text(
            yaml.safe_dump(template), encoding="utf-8"
        )

    def _cluster_env(self) -> dict[str, str]:
        return {
            "ENGINE": "argo",
            "WORKFLOW_NAMESPACE": self.namespace,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'devtools' / 'cluster' / 'resolver'}",
            "REQUIRE_GPU": str(any(self.nodes.values())).lower(),
            "MAX_RUNNING_JOBS": "100",
            "POLL_INTERVAL_S": "0.5",
        }

    # -- processes ---------------------------------------------------------------------------------

    def start(self, *services: str) -> "ClusterSystem":
        self.prepare()
        super().start(*(services or ("redis", "queue_manager", "scheduler")))
        return self

    def prepare(self) -> None:
        """Create namespace, accounts, rights, claim and nodes."""
        self.cluster.add_namespace(self.namespace)
        self.admin.apply_all(self._objects())
        config = self.cluster.kubeconfig_of_account(self.namespace, "scheduler", self.api_proxy.url)
        self.env["KUBECONFIG"] = str(config)
        if isinstance(self.cluster, Plane):
            self.cluster.add_nodes(self.nodes)
            claim = self._path("persistentvolumeclaims", "gpuq-data", root="/api/v1")
            wait_for(
                "the claim is bound",
                lambda: self.admin.get(claim)["status"].get("phase") == "Bound",
            )

    def _objects(self) -> list[Object]:
        """Do nothing to the disks of a real cluster."""
        objects = lab_objects(self.namespace)
        return [
            item
            for item in objects
            if not (self.is_real and item["kind"].startswith("PersistentVolume"))
        ]

    def start_one(self, service: str, **env: str) -> None:
        """Start a service: the schedulers reach Redis through the proxy, the API directly."""
        if service in ("scheduler", "standby"):
            env = {"REDIS_URL": f"redis://127.0.0.1:{self.redis_proxy.port}/0", **env}
        super().start_one(service, **env)

    def stop(self) -> None:
        """End and remove everything of this gpuq; the control plane keeps running."""
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
        """Remove nodes and namespace; do not wait until the namespace is gone."""
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
        """Allow more time on a real cluster, for the start of images and Argo's own pauses."""
        return super().wait_status(
            job_id, *statuses, timeout_s=timeout_s * (4 if self.is_real else 1)
        )

    # -- as a user ---------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> requests.Response:
        return requests.delete(f"{self.api}/jobs/{job_id}", timeout=10)

    def reason(self, job_id: str) -> tuple[str, str]:
        reason = self.job(job_id)["reason"]
        return reason["code"], reason["message"]

    def wait_reason(self, job_id: str, says: str, timeout_s: float = 30) -> tuple[str, str]:
        """Return the reason (code, message) as soon as one of them contains `says`."""
        found: list[tuple[str, str]] = []

        def said() -> bool:
            found[:] = [self.reason(job_id)]
            return says in found[0][0] or says in found[0][1]

        try:
            wait_for(f"{job_id} says {says!r}", said, timeout_s)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; it says {found}; {self.log('scheduler')[-3000:]}"
            ) from error
        return found[0]

    def wait_cycles(self, number: int) -> None:
        """Wait until the scheduler has completed so many more cycles."""
        for _ in range(number):
            seen = self.store.heartbeat()
            wait_for("another cycle", lambda seen=seen: self.store.heartbeat() != seen)

    def wait_resumed(self, job_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """Return the job's record as soon as its second attempt runs."""

        def seen() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if (job["attempt"], job["status"]) == (2, "running") else None

        return dict(wait_for(f"{job_id} runs again", seen, timeout_s))

    def restart_scheduler(self) -> None:
        self.kill("scheduler", signal.SIGTERM)
        self.start_one("scheduler")

    def violations(self) -> list[str]:
        return violations(self.store, self.live_workflows(), self.acknowledged, gpus=self.nodes)


@contextlib.contextmanager
def running(folder: Path, cluster: Cluster, *nodes: int, **env: str) -> Iterator[ClusterSystem]:
    """Yield a started ClusterSystem, and stop it in the end, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    system = ClusterSystem(folder, cluster, nodes or (2,), **env)
    try:
        yield system.start()
    finally:
        system.stop()
