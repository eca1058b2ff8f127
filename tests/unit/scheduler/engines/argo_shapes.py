"""Workflows and pods as Argo 3.6 and 4.x and the kubelet write them."""

from datetime import UTC, datetime
from typing import Any

from devtools import ROOT
from devtools.testbed.fakes import NOW, make_job
from workflows.render import load_template, render

Object = dict[str, Any]
TEMPLATE = load_template(ROOT / "workflows", "proto-gcn")
NAME = "proto-gcn-ann-20261124120001"
UID = "uid-1"
POD = f"{NAME}-train-2914711347"  # Argo's v2 names: template and a hash
MADE, BEGAN, ENDED = NOW, NOW + 30, NOW + 90


def time_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_workflow(
    phase: str = "",
    node: Object | None = None,
    spec: Object | None = None,
    message: str = "",
    **status: Any,
) -> Object:
    """Return a Workflow of gpuq; `node` has fields of its pod node; phase '' means no status."""
    workflow = render(TEMPLATE, make_job(), node="gpu-1")
    workflow["metadata"] |= {"uid": UID, "creationTimestamp": time_of(MADE), "resourceVersion": "7"}
    workflow["spec"] |= spec or {}
    if phase:
        workflow["status"] = {
            "phase": phase,
            "startedAt": time_of(MADE),
            "message": message,
            **status,
        }
    if phase in ("Succeeded", "Failed", "Error"):
        workflow["metadata"]["labels"]["workflows.argoproj.io/completed"] = "true"
        workflow["status"].setdefault("finishedAt", time_of(ENDED + 2))
    if node is not None:
        workflow["status"]["nodes"] = {NAME: make_node_status(**node)}
    return workflow


def make_node_status(
    phase: str, message: str = "", host: str | None = "gpu-1", exit_code: int | None = None
) -> Object:
    """The node of a Workflow's status that is its pod."""
    node: Object = {
        "id": NAME,
        "name": NAME,
        "type": "Pod",
        "templateName": "train",
        "phase": phase,
        "startedAt": time_of(MADE + 1),
    }
    node |= {"message": message} if message else {}
    node |= {"hostNodeName": host} if host else {}
    node |= {"outputs": {"exitCode": str(exit_code)}} if exit_code is not None else {}
    return node


def make_pod(phase: str, main: Object | None = None, uid: str = UID, **status: Any) -> Object:
    """A pod of Argo's; `main` is the state of its main container."""
    conditions = status.pop("conditions", [])
    return {
        "metadata": {
            "name": POD,
            "uid": "pod-1",
            "creationTimestamp": time_of(MADE + 1),
            "labels": {"workflows.argoproj.io/workflow": NAME},
            "ownerReferences": [
                {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": NAME, "uid": uid}
            ],
        },
        "spec": {"nodeName": "gpu-1"},
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [
                {"name": "wait", "state": {}},
                {"name": "main", "state": main or {}},
            ],
            **status,
        },
    }


def running() -> Object:
    return {"running": {"startedAt": time_of(BEGAN)}}


def terminated(exit_code: int, reason: str = "Error") -> Object:
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else reason,
            "startedAt": time_of(BEGAN),
            "finishedAt": time_of(ENDED),
        }
    }


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
