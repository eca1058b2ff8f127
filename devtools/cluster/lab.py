"""This module adapts the objects and the template in deploy/ to a namespace of the tests."""

import os
from collections.abc import Callable

import yaml

from devtools import ROOT
from devtools.cluster.api import Object
from devtools.cluster.cluster import GPU
from devtools.cluster.plane import LOG_LINES

_NAMESPACED = ("ServiceAccount", "Role", "RoleBinding", "Secret", "PersistentVolumeClaim")


def lab_objects(namespace: str) -> list[Object]:
    """Return the accounts, rights, token, volume and claim of deploy/ for another namespace."""
    files = [ROOT / "deploy" / "base" / name for name in ("proto-gcn.yaml", "scheduler.yaml")]
    found = [
        item
        for file in files
        for item in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        if item
    ]
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
    """Rename an object, because there are several of its kind in this cluster."""
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


def as_it_is(workflow: Object) -> None:
    """Return the shipped template, which is the one to test."""


def with_a_shell(workflow: Object) -> None:
    """Let any image with a shell be the toy trainer: the cluster lacks our image and /data."""
    lines = "; ".join(f"echo '{line}'" for line in LOG_LINES)
    read = "sed -n 's/.*\"*{}\"*: *\\([0-9]*\\).*/\\1/p' $CONFIG_FILE"
    end = f"code=$({read.format('exit')}); exit ${{code:-0}}"
    script = f"{lines}; sleep $({read.format('seconds')}); {end}"
    container = workflow["spec"]["templates"][0]["container"]
    container |= {
        "image": os.environ.get("E2E_IMAGE", "busybox:1.36"),
        "command": ["sh", "-c", script],
    }
    container["resources"] = {
        "requests": {"cpu": "10m", "memory": "16Mi"},
        "limits": {GPU: 1, "memory": "64Mi"},
    }
    volumes = {volume["name"]: volume for volume in workflow["spec"]["volumes"]}
    volumes["data"].pop("persistentVolumeClaim")
    volumes["data"]["emptyDir"] = {}
