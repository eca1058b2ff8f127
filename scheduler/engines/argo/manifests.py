"""The objects that a job has in the cluster, and where they are found: pure makers of paths and dicts."""

from typing import Any

from workflows.render import LABEL_JOB

COMPLETED = "workflows.argoproj.io/completed"
#: All workflows of ours; those submitted by hand carry no job's label.
OURS = f"app.kubernetes.io/part-of=gpuq,{LABEL_JOB}"
#: Those that Argo has not labelled as over. A cycle asks for these alone: tombstones are many, and do not change.
OPEN = f"{OURS},{COMPLETED}!=true"
_CONFIG = "config"


def workflows_path(namespace: str, name: str = "") -> str:
    return _path(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows", name)


def config_maps_path(namespace: str, name: str = "") -> str:
    return _path(f"/api/v1/namespaces/{namespace}/configmaps", name)


def pods_path(namespace: str, name: str = "") -> str:
    return _path(f"/api/v1/namespaces/{namespace}/pods", name)


def make_config_map(workflow: dict[str, Any], config_text: str) -> dict[str, Any]:
    """The config as it was submitted, beside the workflow of the same name; immutable, so that no edit changes it."""
    metadata = workflow["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": metadata["name"], "labels": dict(metadata["labels"])},
        "immutable": True,
        "data": {_CONFIG: config_text},
    }


def make_owner_patch(name: str, uid: str) -> dict[str, Any]:
    """What makes a ConfigMap go with its workflow."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": name, "uid": uid}
    return {"metadata": {"ownerReferences": [owner]}}


def make_stop_patch(uid: str) -> dict[str, Any]:
    """Argo's stop. A suspended workflow would never get to it, and one that is stopped starts nothing any more."""
    return {"metadata": {"uid": uid}, "spec": {"shutdown": "Stop", "suspend": None}}


def make_delete_options(uid: str, propagation: str = "Foreground") -> dict[str, Any]:
    """Only the object of this uid; in the foreground it stays until its pod is gone."""
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": propagation,
        "preconditions": {"uid": uid},
    }


def job_label(obj: dict[str, Any]) -> str | None:
    """The job id that an object carries."""
    labels = obj.get("metadata", {}).get("labels") or {}
    return labels.get(LABEL_JOB)


def owners(obj: dict[str, Any]) -> list[str]:
    """The uids of an object's owners."""
    return [str(owner.get("uid")) for owner in obj.get("metadata", {}).get("ownerReferences") or []]


def config_of(config_map: dict[str, Any]) -> str | None:
    return (config_map.get("data") or {}).get(_CONFIG)


def uid_of(obj: dict[str, Any]) -> str:
    return str(obj.get("metadata", {}).get("uid") or "")


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if name else folder
