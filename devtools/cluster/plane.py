"""This module runs a control plane on free ports of loopback.

It has etcd, the API server with RBAC and all admission, the controller-manager, the scheduler, and
kwok, which simulates the nodes. Every process is our child and is ended by its pid; the API server
can be killed and started again.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from devtools.cluster.api import Api, Object, until_served, write_kubeconfig
from devtools.cluster.build import binaries
from devtools.cluster.cluster import GPU, Cluster
from devtools.cluster.pki import Pair
from devtools.testbed.system import free_port, wait_for

HERE = Path(__file__).parent
#: A pod is refused whose RuntimeClass is not there; docs/kubernetes.md has the admin make this one.
RUNTIME_CLASS = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "nvidia"},
    "handler": "nvidia",
}
BOOT_S = 90
#: What every container's log says here, in the kubelet's own format on disk.
LOG_LINES = ("epoch 1/3 loss 2.31", "epoch 2/3 loss 1.87", "the last line of the log")


_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _ends_with_its_parent() -> None:
    """Let the kernel end this child with its parent, even if the test run is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Plane(Cluster):
    """Start with `start()`, end with `stop()`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tools = binaries()
        self._etcd_port, self._etcd_peer, self._port, self._kubelet_port = (
            free_port() for _ in range(4)
        )
        self.url = f"https://127.0.0.1:{self._port}"
        self.ca = self.authority.cert
        self.kubeconfig = self.kubeconfig_of("admin", "system:masters")
        self.admin = Api(self.kubeconfig)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # -- processes ---------------------------------------------------------------------------------

    def start(self) -> "Plane":
        """Boot everything; the API server serves Argo's kinds when this returns."""
        self.start_one("etcd", self._etcd())
        self._api_server = self._api_server_flags()
        self.start_api_server()
        self.start_one("kube-controller-manager", self._controller_manager())
        self.start_one("kube-scheduler", self._scheduler())
        self.start_one("kwok", self._kwok())
        for crd in yaml.safe_load_all((HERE / "crds.yaml").read_text(encoding="utf-8")):
            self.admin.apply(crd)
        self.admin.apply(RUNTIME_CLASS)
        for kind in ("workflows", "workflowtaskresults"):
            wait_for(
                f"{kind} are served",
                until_served(self.admin, f"/apis/argoproj.io/v1alpha1/{kind}"),
                BOOT_S,
            )
        return self

    def start_api_server(self) -> None:
        self.start_one("kube-apiserver", self._api_server)
        ready = until_served(self.admin, "/readyz")
        wait_for(
            "the API server is ready", lambda: self._alive("kube-apiserver") and ready(), BOOT_S
        )

    def start_one(self, name: str, flags: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.tools[name]), *flags],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=_ends_with_its_parent,
            )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(timeout=30)

    def stop(self) -> None:
        """Kill everything that was started; there is nothing to save."""
        for name in reversed(list(self.processes)):
            with contextlib.suppress(ProcessLookupError):
                self.kill(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _alive(self, name: str) -> bool:
        if self.processes[name].poll() is not None:
            raise AssertionError(f"{name} ended by itself: {self.log(name)[-2000:]}")
        return True

    # -- who may speak to it -----------------------------------------------------------------------

    def kubeconfig_of(self, user: str, *groups: str) -> Path:
        """Write a kubeconfig with a client certificate."""
        pair = self.authority.client(user, *groups)
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        known = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
        return write_kubeconfig(path, self.url, self.ca, known)

    # -- what is in it -----------------------------------------------------------------------------

    def add_nodes(self, gpus: dict[str, int]) -> None:
        """Add nodes of kwok (name -> GPUs); they are Ready when this returns."""
        for name, number in gpus.items():
            self.admin.post("/api/v1/nodes", _node(name, number))
        for name in gpus:
            wait_for(f"{name} is Ready", lambda name=name: self._is_schedulable(name), 30)

    def remove_node(self, name: str) -> None:
        self.admin.delete(f"/api/v1/nodes/{name}")

    def _is_schedulable(self, name: str) -> bool:
        node = self.admin.get(f"/api/v1/nodes/{name}")
        ready = [
            item["status"]
            for item in node["status"].get("conditions", [])
            if item["type"] == "Ready"
        ]
        return ready == ["True"] and not node["spec"].get("taints")

    # -- flags -------------------------------------------------------------------------------------

    def _etcd(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._etcd_peer}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--log-level=warn",
        ]

    def _api_server_flags(self) -> list[str]:
        serving = self.authority.server("kube-apiserver")
        kubelet_client = self.authority.client("kube-apiserver-kubelet-client", "system:masters")
        tokens = self.authority.signing_key("service-accounts")
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",  # as with kubeadm; Pod Security restricts pods
            f"--client-ca-file={self.ca}",
            *_serving(serving),
            f"--kubelet-client-certificate={kubelet_client.cert}",
            f"--kubelet-client-key={kubelet_client.key}",
            f"--kubelet-certificate-authority={self.ca}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={tokens}",
            f"--service-account-key-file={tokens}",
            f"--audit-policy-file={HERE / 'audit.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--profiling=false",
        ]

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.jsonl"

    def _controller_manager(self) -> list[str]:
        config = self.kubeconfig_of("system:kube-controller-manager")
        return [
            *_component(config),
            f"--service-account-private-key-file={self.folder / 'pki' / 'service-accounts.key'}",
            f"--root-ca-file={self.ca}",
            "--use-service-account-credentials",
            "--node-monitor-period=500ms",  # how soon a fresh node loses its not-ready taint
            "--pvclaimbinder-sync-period=1s",  # how soon a claim that came with its volume is bound
        ]

    def _scheduler(self) -> list[str]:
        return _component(self.kubeconfig_of("system:kube-scheduler"))

    def _kwok(self) -> list[str]:
        serving = self.authority.server("kubelet")
        return [
            f"--kubeconfig={self.kubeconfig_of('kwok', 'system:masters')}",
            f"--config={self._kwok_config()}",
            "--manage-all-nodes",
            "--node-ip=127.0.0.1",
            f"--node-port={self._kubelet_port}",
            f"--server-address=127.0.0.1:{self._kubelet_port}",
            f"--tls-cert-file={serving.cert}",
            f"--tls-private-key-file={serving.key}",
            "--node-lease-duration-seconds=40",
        ]

    def _kwok_config(self) -> Path:
        log = self.folder / "container.log"
        log.write_text(
            "".join(f"2026-01-01T00:00:00.000000000Z stdout F {line}\n" for line in LOG_LINES)
        )
        logs: dict[str, Any] = {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterLogs",
            "metadata": {"name": "all"},
            "spec": {"logs": [{"logsFile": str(log)}]},
        }
        path = self.folder / "kwok.yaml"
        path.write_text(
            f"{(HERE / 'kwok.yaml').read_text(encoding='utf-8')}---\n{yaml.safe_dump(logs)}"
        )
        return path


def _node(name: str, gpus: int) -> Object:
    resources = {
        "cpu": "64",
        "memory": "512Gi",
        "pods": "110",
        "ephemeral-storage": "1Ti",
        GPU: str(gpus),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "status": {"capacity": resources, "allocatable": resources},
    }


def _serving(pair: Pair) -> list[str]:
    return [f"--tls-cert-file={pair.cert}", f"--tls-private-key-file={pair.key}"]


def _component(config: Path) -> list[str]:
    """Return the arguments of a component: it opens no port and does not wait for a lead."""
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        "--leader-elect=false",
        "--profiling=false",
    ]


@contextlib.contextmanager
def running_plane(folder: Path) -> Iterator[Plane]:
    """Yield a started Plane, and stop it in the end, whatever happens."""
    plane = Plane(folder)
    try:
        yield plane.start()
    finally:
        plane.stop()


def freeze(process: subprocess.Popen[bytes]) -> None:
    """Stop a process in the middle of whatever it does; `thaw` lets it go on."""
    os.kill(process.pid, signal.SIGSTOP)


def thaw(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGCONT)
