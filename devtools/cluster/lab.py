"""What deploy/ gives scheduler and trainings, and the template that it ships, for a namespace of
the tests.
"""

import os
from collections.abc import Callable

import yaml

from devtools import ROOT
from devtools.cluster.api import Object
from devtools.cluster.cluster import GPU
from devtools.cluster.plane import LOG_LINES

_NAMESPACED = ("ServiceAccount", "Role", "RoleBinding", "Secret", "PersistentVolumeClaim")


def lab_objects(namespace: str) -> list[Object]:
    """What deploy/ gives scheduler and trainings, for another namespace: accounts, rights, token,
    volume and claim.
    """
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


def as_it_is(workflow: Object) -> None:
    """Leave the shipped template unchanged."""


def with_a_shell(workflow: Object) -> None:
    """Make any image with a shell play the toy trainer.

    This is for a cluster that has neither our image nor /data.
    """
    lines = "; ".join(f"echo '{line}'" for line in LOG_LINES)
    read = "sed -n 's/.*\"*{}\"*: *\\([0-9]*\\).*/\\1/p' $CONFIG_FILE"
    seconds = read.format("seconds")
    code = read.format("exit")
    script = f"{lines}; sleep $({seconds}); code=$({code}); exit ${{code:-0}}"
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
