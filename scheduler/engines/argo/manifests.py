"""Make the objects that a job has in the cluster, and their paths: pure functions."""

from typing import Any

from workflows.render import LABEL_JOB

COMPLETED = "workflows.argoproj.io/completed"
#: All workflows of ours; those that a person submits directly carry no job's label.
OURS = f"app.kubernetes.io/part-of=gpuq,{LABEL_JOB}"
#: Our workflows that Argo has not labelled as completed. A cycle asks only for these, because the
#: completed ones are many and do not change.
OPEN = f"{OURS},{COMPLETED}!=true"
_CONFIG = "config"


def workflows_path(namespace: str, name: str = "") -> str:
    """Return the path of a Workflow, or of all of a namespace."""
    return _path(f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows", name)


def config_maps_path(namespace: str, name: str = "") -> str:
    """Return the path of a ConfigMap, or of all of a namespace."""
    return _path(f"/api/v1/namespaces/{namespace}/configmaps", name)


def pods_path(namespace: str, name: str = "") -> str:
    """Return the path of a pod, or of all of a namespace."""
    return _path(f"/api/v1/namespaces/{namespace}/pods", name)


def make_config_map(workflow: dict[str, Any], config_text: str) -> dict[str, Any]:
    """Return the ConfigMap with the submitted config; it has the Workflow's name.

    It is immutable, so that no edit changes what a retry trains with.
    """
    metadata = workflow["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": metadata["name"], "labels": dict(metadata["labels"])},
        "immutable": True,
        "data": {_CONFIG: config_text},
    }


def make_owner_patch(name: str, uid: str) -> dict[str, Any]:
    """Return the patch that makes a ConfigMap disappear with its Workflow."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": name, "uid": uid}
    return {"metadata": {"ownerReferences": [owner]}}


def make_stop_patch(uid: str) -> dict[str, Any]:
    """Return the patch that stops a Workflow.

    A suspended Workflow would not react to a stop, and a stopped one starts nothing any more.
    """
    return {"metadata": {"uid": uid}, "spec": {"shutdown": "Stop", "suspend": None}}


def make_delete_options(uid: str, propagation: str = "Foreground") -> dict[str, Any]:
    """Return options that delete only the object of this uid.

    In the foreground the object stays until its pod is gone.
    """
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": propagation,
        "preconditions": {"uid": uid},
    }


def job_label(obj: dict[str, Any]) -> str | None:
    """Return the job id that an object is labelled with."""
    labels = obj.get("metadata", {}).get("labels") or {}
    return labels.get(LABEL_JOB)


def owners(obj: dict[str, Any]) -> list[str]:
    """Return the uids of an object's owners."""
    return [str(owner.get("uid")) for owner in obj.get("metadata", {}).get("ownerReferences") or []]


def config_of(config_map: dict[str, Any]) -> str | None:
    """Return the config's text."""
    return (config_map.get("data") or {}).get(_CONFIG)


def name_of(obj: dict[str, Any]) -> str:
    """Return an object's name."""
    return str(obj["metadata"].get("name"))


def uid_of(obj: dict[str, Any]) -> str:
    """Return an object's uid."""
    return str(obj.get("metadata", {}).get("uid") or "")


def _path(folder: str, name: str) -> str:
    return f"{folder}/{name}" if name else folder
