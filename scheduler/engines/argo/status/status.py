"""Translate an Argo Workflow, and what was seen beside it, into a WorkflowStatus: pure functions.

The shapes are those of Argo 3.6 and 4.x. Argo's phase alone is not enough in two cases. A stopped
Workflow is `Failed` at once, while its container may still write its checkpoint: it has ended only
when its pod has. And a Workflow is `Running` as soon as Argo has seen it, long before its pod is;
then the phase of its node counts.
"""

from typing import Any

from scheduler.engines.argo.status.ended import ended_status
from scheduler.engines.argo.status.fields import (
    as_dict,
    exit_code,
    identity,
    is_final,
    main_state,
    node_name,
    pod_node,
    seconds,
    submission,
)
from scheduler.engines.argo.status.pending import pending_reason
from scheduler.engines.argo.status.sight import NO_SIGHT, Sight
from scheduler.engines.contract import Obstacle, WorkflowPhase, WorkflowStatus

__all__ = ["NO_SIGHT", "Sight", "is_final", "is_over", "status_of"]


def is_over(workflow: dict[str, Any], sight: Sight) -> bool:
    """Return whether Argo is done with it and no container of it can run any more."""
    if not is_final(workflow):
        return False
    if not sight.asked or main_state(sight.pod, "terminated"):
        return True
    if sight.pod is not None:
        if as_dict(sight.pod.get("status")).get("phase") not in ("Succeeded", "Failed"):
            return False
        return not (main_state(sight.pod, "running") and sight.node_lost)
    return exit_code(workflow, None) is not None or not sight.node_lost


def status_of(workflow: dict[str, Any], sight: Sight, now: float) -> WorkflowStatus:
    """Return the status of a Workflow; the job id is empty if it is not ours."""
    known = _known(workflow, sight)
    if is_over(workflow, sight):
        return ended_status(workflow, sight, known)
    if is_final(workflow):
        return _ending(workflow, sight, known)
    return _live(workflow, sight, now, known)


def _known(workflow: dict[str, Any], sight: Sight) -> dict[str, Any]:
    job_id, attempt = identity(workflow)
    metadata = as_dict(workflow.get("metadata"))
    return {
        "name": str(metadata.get("name")),
        "uid": str(metadata.get("uid")),
        "job_id": job_id,
        "attempt": attempt,
        "node": node_name(workflow, sight.pod),
        "submission": submission(workflow),
        "engine": "argo",
    }


def _live(
    workflow: dict[str, Any], sight: Sight, now: float, known: dict[str, Any]
) -> WorkflowStatus:
    node = pod_node(workflow)
    if node.get("phase") in (None, "", "Pending") and sight.container_started_at is None:
        message, obstacle = pending_reason(workflow, sight, now)
        pending = {**known, "message": message, "obstacle": obstacle, **_lost(sight, known)}
        return WorkflowStatus(phase=WorkflowPhase.PENDING, **pending)
    is_suspended = as_dict(workflow.get("spec")).get("suspend") is True
    message = "It is suspended; its container continues to run." if is_suspended else ""
    began = sight.container_started_at or seconds(node.get("startedAt"))
    running = {**known, "message": message, **_lost(sight, known)}
    return WorkflowStatus(phase=WorkflowPhase.RUNNING, started_at=began, **running)


def _lost(sight: Sight, known: dict[str, Any]) -> dict[str, Any]:
    if not sight.node_lost:
        return {}
    message = f"The node {known['node']} is not responding"
    return {"obstacle": Obstacle.NODE_LOST, "message": message}


def _ending(workflow: dict[str, Any], sight: Sight, known: dict[str, Any]) -> WorkflowStatus:
    """Return the status of a Workflow that Argo is done with, but whose container may run."""
    message = "It is being stopped; its container has not ended yet."
    started_at = sight.container_started_at
    if sight.node_lost:
        message = f"The node {known['node']} is not responding, and its pod cannot be inspected"
    elif sight.pod is not None and started_at is None:  # no container of it ever started
        return WorkflowStatus(phase=WorkflowPhase.PENDING, message=message, **known)
    return WorkflowStatus(
        phase=WorkflowPhase.RUNNING,
        started_at=started_at or seconds(pod_node(workflow).get("startedAt")),
        message=message,
        obstacle=Obstacle.NODE_LOST if sight.node_lost else Obstacle.NONE,
        **known,
    )
