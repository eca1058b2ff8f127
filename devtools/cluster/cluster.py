"""This module provides an admin, namespaces and accounts with tokens of any cluster."""

import base64
from pathlib import Path

import yaml

from devtools.cluster.api import Api, Object, write_kubeconfig
from devtools.cluster.pki import Authority
from devtools.testbed.system import wait_for

GPU = "nvidia.com/gpu"


class Cluster:
    """`admin` is a client that may do anything; `ca` verifies the API server at `url`.

    `authority` is ours: it issues the certificate of the proxy before the API server (proxy.py).
    """

    url: str
    ca: Path
    kubeconfig: Path
    admin: Api

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pki").mkdir(parents=True)
        self.authority = Authority(folder / "pki")

    def add_namespace(self, name: str, pod_security: str = "restricted") -> None:
        """Create a namespace with this level of Pod Security and its default ServiceAccount."""
        labels = {"pod-security.kubernetes.io/enforce": pod_security}
        metadata: Object = {"name": name, "labels": labels}
        self.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        path = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_for(f"{name} has an account", lambda: self.admin.find(path), 30)

    def kubeconfig_of_account(self, namespace: str, account: str, proxy: str | None = None) -> Path:
        """Write a kubeconfig with a new token of a ServiceAccount, for API server or proxy."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.admin.post(path, request)["status"]["token"]
        file = self.folder / f"{namespace}-{account}.kubeconfig"
        trusted = self.authority.cert if proxy else self.ca
        return write_kubeconfig(file, proxy or self.url, trusted, {"token": token})

    def api_of_account(self, namespace: str, account: str) -> Api:
        return Api(self.kubeconfig_of_account(namespace, account))


class RealCluster(Cluster):
    """This is the cluster of a kubeconfig, with real nodes and the real Argo, for `make e2e`."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        super().__init__(folder)
        self.kubeconfig = _with_files(kubeconfig, folder)
        self.admin = Api(self.kubeconfig)
        self.url = self.admin.url
        self.ca = Path(str(self.admin.ca))

    def nodes(self) -> dict[str, int]:
        """node -> how many GPUs it offers, of all that a pod without tolerations may run on."""
        found = self.admin.items("/api/v1/nodes")
        open_ones = [
            node
            for node in found
            if not node["spec"].get("taints") and not node["spec"].get("unschedulable")
        ]
        return {
            node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, 0))
            for node in open_ones
        }


def _with_files(kubeconfig: Path, folder: Path) -> Path:
    """Return the same kubeconfig with its embedded certificates and keys in separate files."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    parts = [item[kind] for kind in ("cluster", "user") for item in config[f"{kind}s"]]
    for number, part in enumerate(parts):
        for name in [name for name in part if name.endswith("-data")]:
            file = folder / "pki" / f"{number}-{name}"
            file.touch(mode=0o600)
            file.write_bytes(base64.b64decode(part.pop(name)))
            part[name.removesuffix("-data")] = str(file)
    path = folder / "admin.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path
