"""The files of deploy/ as data; tests/cluster/test_manifests.py tests what kustomize builds."""

from pathlib import Path
from typing import Any

import yaml

from devtools import ROOT

BASE = ROOT / "deploy" / "base"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
KUSTOMIZATIONS = sorted((ROOT / "deploy").rglob("kustomization.yaml"))

Manifest = dict[str, Any]


def read(path: Path) -> list[Manifest]:
    return [
        document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document
    ]


def base() -> list[Manifest]:
    """Return every object of the base that is not generated."""
    files = [path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in files for document in read(path)]


def find(kind: str, name: str) -> Manifest:
    return next(
        item for item in base() if item["kind"] == kind and item["metadata"]["name"] == name
    )


def pod(name: str) -> Manifest:
    """Return the pod's spec of the workload `name`."""
    workload = next(
        item for item in base() if item["kind"] in WORKLOADS and item["metadata"]["name"] == name
    )
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Manifest:
    (only,) = pod(name)["containers"]
    return dict(only)


def literals(kustomization: Path, name: str) -> dict[str, str]:
    """Return the literals of the ConfigMap `name` in this kustomization."""
    (content,) = read(kustomization)
    made = [item for item in content.get("configMapGenerator", []) if item["name"] == name]
    return dict(literal.split("=", 1) for item in made for literal in item["literals"])
