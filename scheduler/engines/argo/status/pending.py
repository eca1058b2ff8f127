"""Find out why no container of a live Workflow runs yet: pure functions."""

import re
from typing import Any

from scheduler.engines.argo.status.fields import (
    as_dict,
    as_list,
    folder_hint,
    is_final,
    node_name,
    pod_node,
    seconds,
)
from scheduler.engines.argo.status.sight import Sight
from scheduler.engines.contract import Obstacle

#: How long a Workflow may be without a phase until it is reported that no controller runs (s).
UNATTENDED_S = 120
#: What Argo reports of a pod that is starting normally.
_STARTING = ("", "PodInitializing", "ContainerCreating")
#: The cluster's scheduler about nodes that do not accept a pod; a missing volume claim is not one.
_NOT_SCHEDULED = re.compile(
    r"Unschedulable: (?!.*persistentvolumeclaim).*nodes are available", re.IGNORECASE
)
_CORDONED = re.compile(r"node\(s\) were unschedulable|node\.kubernetes\.io/unschedulable")


def needs_pod(workflow: dict[str, Any]) -> bool:
    """Return whether Argo reports nothing useful about why its pod does not start."""
    return not is_final(workflow) and _argo_message(workflow) in _STARTING


def pending_reason(workflow: dict[str, Any], sight: Sight, now: float) -> tuple[str, Obstacle]:
    """Return why no container runs yet, and the obstacle that this is."""
    if not as_dict(workflow.get("status")).get("phase"):
        return _unseen(workflow, now)
    if as_dict(workflow.get("spec")).get("suspend") is True:
        resume = f"argo resume {workflow['metadata']['name']}"
        return f"It is suspended; resume it with: {resume}", Obstacle.UNATTENDED
    message = _argo_message(workflow)
    if message in _STARTING:
        message = pod_problem(sight.pod) or sight.event or message
    if not _NOT_SCHEDULED.match(message):
        return message + folder_hint(workflow, message), Obstacle.NONE
    if _CORDONED.search(message):
        node = node_name(workflow, sight.pod)
        message = f"{node} is cordoned; to let it accept pods again: kubectl uncordon {node}"
    is_short = "Insufficient nvidia.com/gpu" in message
    return message, Obstacle.NO_GPU if is_short else Obstacle.UNSCHEDULABLE


def pod_problem(pod: dict[str, Any] | None) -> str:
    """Return the first problem that a pod's status shows; empty if there is none."""
    status = as_dict((pod or {}).get("status"))
    containers = (
        *as_list(status.get("initContainerStatuses")),
        *as_list(status.get("containerStatuses")),
    )
    for container in containers:
        waiting = as_dict(as_dict(container.get("state")).get("waiting"))
        if waiting.get("reason") and waiting["reason"] not in _STARTING:
            return _joined(waiting["reason"], waiting.get("message"))
    for condition in as_list(status.get("conditions")):
        if condition.get("reason") == "Unschedulable":
            return _joined("Unschedulable", condition.get("message"))
    return ""


def _unseen(workflow: dict[str, Any], now: float) -> tuple[str, Obstacle]:
    """Explain that no controller has given it a phase yet."""
    age = now - (seconds(as_dict(workflow.get("metadata")).get("creationTimestamp")) or now)
    if age < UNATTENDED_S:
        return "It waits for the Argo controller.", Obstacle.NONE
    text = f"The Argo controller is not running: nothing has processed it for {age:.0f} s; see"
    command = "kubectl get deployments -A | grep workflow-controller"
    return f"{text}: {command}", Obstacle.UNATTENDED


def _argo_message(workflow: dict[str, Any]) -> str:
    node, status = pod_node(workflow), as_dict(workflow.get("status"))
    return str(node.get("message") or ("" if node else status.get("message")) or "")


def _joined(reason: Any, message: Any) -> str:
    return f"{reason}: {message}" if message else str(reason)
