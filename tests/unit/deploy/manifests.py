"""deploy/ as data. What kustomize makes of it is looked at in tests/cluster/test_manifests.py."""

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
    """Every object of the base that is not generated."""
    files = [path for path in sorted(BASE.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return [document for path in files for document in read(path)]


def find(kind: str, name: str) -> Manifest:
    return next(
        item for item in base() if item["kind"] == kind and item["metadata"]["name"] == name
    )


def pod(name: str) -> Manifest:
    """The pod's spec of the workload `name`."""
    workload = next(
        item for item in base() if item["kind"] in WORKLOADS and item["metadata"]["name"] == name
    )
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Manifest:
    (only,) = pod(name)["containers"]
    return dict(only)


def literals(kustomization: Path, name: str) -> dict[str, str]:
    """The literals of the ConfigMap `name` that this kustomization makes or adds to."""
    (content,) = read(kustomization)
    made = [item for item in content.get("configMapGenerator", []) if item["name"] == name]
    return dict(literal.split("=", 1) for item in made for literal in item["literals"])
