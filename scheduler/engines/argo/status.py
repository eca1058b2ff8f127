"""An Argo Workflow and what was seen beside it -> WorkflowStatus: pure. The shapes are those of Argo 3.6 and 4.x.

Argo's word alone is not enough in two places. A Workflow that is stopped is `Failed` at once, while its container may
still write its checkpoint: it has ended only when its pod says so. And a Workflow is `Running` from the moment Argo has
seen it, long before its pod is: the phase of its node counts.
"""

import re
from dataclasses import dataclass
from typing import Any

from scheduler.engines.argo.fields import (
    as_dict,
    as_list,
    exit_code,
    folder_hint,
    identity,
    main_state,
    node_name,
    pod_node,
    seconds,
    submission,
)
from scheduler.engines.contract import EndedBy, Obstacle, WorkflowPhase, WorkflowStatus

#: How long a Workflow may be without a phase before it is said that nobody looks at it (s).
UNATTENDED_S = 120
EXIT_KILLED, EXIT_TERMINATED = 137, 143
#: What Argo says of a pod that is simply on its way.
_ON_ITS_WAY = ("", "PodInitializing", "ContainerCreating")

#: `status.reason` of a pod that the kubelet ended, or did not take.
_TAKEN_AWAY = re.compile(
    r"Evicted|Preempt\w*|Terminated|Shutdown|NodeShutdown|NodeLost|NodeAffinity|UnexpectedAdmissionError|OutOf.*"
)
#: The same where only Argo's word is left, which is the pod's `status.message`.
_SAID_TAKEN_AWAY = re.compile(
    r"pod deleted|node was low on resource|imminent node shutdown|Pod was rejected|Preempted in order|Allocate failed"
)
#: What a container's end is called where the runtime, or the kubelet, has lost it.
_VANISHED = ("Unknown", "ContainerStatusUnknown")
_SAID_TIME_LIMIT = re.compile(
    r"longer than the specified deadline|DeadlineExceeded|exceeded its deadline"
)
_SAID_STOP = re.compile(r"workflow shutdown with strategy|Stopped with strategy")

#: The cluster's scheduler on nodes that do not take a pod now; a claim that is missing is nobody's node's fault.
_TURNED_AWAY = re.compile(
    r"Unschedulable: (?!.*persistentvolumeclaim).*nodes are available", re.IGNORECASE
)
_CORDONED = re.compile(r"node\(s\) were unschedulable|node\.kubernetes\.io/unschedulable")


@dataclass(frozen=True)
class Look:
    """What was seen beside a Workflow; `pod` is None where there is none, and says nothing where nobody `asked`."""

    asked: bool = False
    pod: dict[str, Any] | None = None
    event: str = ""  #: the newest warning about the pod
    node_lost: bool = False
    log_tail: tuple[str, ...] = ()
    started_at: float | None = None  #: as seen earlier


NO_LOOK = Look()


def is_final(workflow: dict[str, Any]) -> bool:
    """Whether Argo is done with it."""
    return as_dict(workflow.get("status")).get("phase") in ("Succeeded", "Failed", "Error")


def is_over(workflow: dict[str, Any], look: Look) -> bool:
    """Whether Argo is done with it, and no container of it can run any more."""
    if not is_final(workflow):
        return False
    if not look.asked or main_state(look.pod, "terminated"):
        return True
    if look.pod is not None:
        if as_dict(look.pod.get("status")).get("phase") not in ("Succeeded", "Failed"):
            return False
        return not (main_state(look.pod, "running") and look.node_lost)
    return exit_code(workflow, None) is not None or not look.node_lost


def needs_pod(workflow: dict[str, Any]) -> bool:
    """Whether Argo says nothing useful about why its pod does not start."""
    return not is_final(workflow) and _argo_pending_message(workflow) in _ON_ITS_WAY


def status_of(workflow: dict[str, Any], look: Look, now: float) -> WorkflowStatus:
    """How a Workflow stands; one of somebody else has the job id ''."""
    job_id, attempt = identity(workflow)
    metadata = as_dict(workflow.get("metadata"))
    known = {
        "name": str(metadata.get("name")),
        "uid": str(metadata.get("uid")),
        "job_id": job_id,
        "attempt": attempt,
        "node": node_name(workflow, look.pod),
        "submission": submission(workflow),
        "engine": "argo",
    }
    if is_over(workflow, look):
        return _over(workflow, look, known)
    if is_final(workflow):
        return _ending(workflow, look, known)
    return _live(workflow, look, now, known)


# -- live --------------------------------------------------------------------------------------------------------------


def _live(
    workflow: dict[str, Any], look: Look, now: float, known: dict[str, Any]
) -> WorkflowStatus:
    started = _started_at(look)
    node = pod_node(workflow)
    lost: dict[str, Any] = {}
    if look.node_lost:
        message = f"The node {known['node']} is not responding"
        lost = {"obstacle": Obstacle.NODE_LOST, "message": message}
    if node.get("phase") in (None, "", "Pending") and started is None:
        message, obstacle = _pending(workflow, look, now)
        pending = {**known, "message": message, "obstacle": obstacle, **lost}
        return WorkflowStatus(phase=WorkflowPhase.PENDING, **pending)
    suspended = as_dict(workflow.get("spec")).get("suspend") is True
    message = "It is suspended by hand; its container runs on." if suspended else ""
    began = started or seconds(node.get("startedAt"))
    return WorkflowStatus(
        phase=WorkflowPhase.RUNNING, started_at=began, **{**known, "message": message, **lost}
    )


def _pending(workflow: dict[str, Any], look: Look, now: float) -> tuple[str, Obstacle]:
    """Why no container runs yet."""
    spec, status = as_dict(workflow.get("spec")), as_dict(workflow.get("status"))
    age = now - (seconds(as_dict(workflow.get("metadata")).get("creationTimestamp")) or now)
    if not status.get("phase"):
        if age < UNATTENDED_S:
            return "It waits for the Argo controller.", Obstacle.NONE
        text = f"The Argo controller is not running: nothing has looked at it for {age:.0f} s; see"
        see = "kubectl get deployments -A | grep workflow-controller"
        return f"{text}: {see}", Obstacle.UNATTENDED
    if spec.get("suspend") is True:
        text = (
            f"It is suspended by hand; it goes on with: argo resume {workflow['metadata']['name']}"
        )
        return text, Obstacle.UNATTENDED
    said = _argo_pending_message(workflow)
    if said in _ON_ITS_WAY:
        said = pod_trouble(look.pod) or look.event or said
    if not _TURNED_AWAY.match(said):
        return said + folder_hint(workflow, said), Obstacle.NONE
    if _CORDONED.search(said):
        node = node_name(workflow, look.pod)
        said = f"{node} is cordoned; when it may take pods again: kubectl uncordon {node}"
    is_short = "Insufficient nvidia.com/gpu" in said
    return said, Obstacle.NO_GPU if is_short else Obstacle.UNSCHEDULABLE


def _argo_pending_message(workflow: dict[str, Any]) -> str:
    node, status = pod_node(workflow), as_dict(workflow.get("status"))
    return str(node.get("message") or ("" if node else status.get("message")) or "")


def pod_trouble(pod: dict[str, Any] | None) -> str:
    """The first trouble that a pod tells of itself."""
    status = as_dict((pod or {}).get("status"))
    for container in (
        *as_list(status.get("initContainerStatuses")),
        *as_list(status.get("containerStatuses")),
    ):
        waiting = as_dict(as_dict(container.get("state")).get("waiting"))
        if waiting.get("reason") and waiting["reason"] not in _ON_ITS_WAY:
            return _joined(waiting["reason"], waiting.get("message"))
    for condition in as_list(status.get("conditions")):
        if condition.get("reason") == "Unschedulable":
            return _joined("Unschedulable", condition.get("message"))
    return ""


def _joined(reason: Any, message: Any) -> str:
    return f"{reason}: {message}" if message else str(reason)


# -- ended -------------------------------------------------------------------------------------------------------------


def _ending(workflow: dict[str, Any], look: Look, known: dict[str, Any]) -> WorkflowStatus:
    """Argo is done with it, but its container may run."""
    message = "It is being stopped; its container has not ended yet."
    if look.node_lost:
        message = f"The node {known['node']} does not answer, and its pod cannot be asked"
    began = _started_at(look) or seconds(pod_node(workflow).get("startedAt"))
    # One whose container has never started is still on its way out of the door.
    never = look.pod is not None and _started_at(look) is None and not look.node_lost
    if never:
        return WorkflowStatus(phase=WorkflowPhase.PENDING, message=message, **known)
    return WorkflowStatus(
        phase=WorkflowPhase.RUNNING,
        started_at=began,
        message=message,
        obstacle=Obstacle.NODE_LOST if look.node_lost else Obstacle.NONE,
        **known,
    )


def _over(workflow: dict[str, Any], look: Look, known: dict[str, Any]) -> WorkflowStatus:
    node, status = pod_node(workflow), as_dict(workflow.get("status"))
    terminated, code = main_state(look.pod, "terminated"), exit_code(workflow, look.pod)
    succeeded = status["phase"] == "Succeeded" or code == 0
    by = EndedBy.ITSELF if succeeded else _ended_by(workflow, look, code)
    began = _started_at(look)
    if (
        began is None
        and (look.pod is None)
        and (code is not None or succeeded or "pod deleted" in _said(workflow))
    ):
        began = seconds(node.get("startedAt"))  # when its pod was made: the best that is left
    ended = (
        seconds(terminated.get("finishedAt"))
        or seconds(node.get("finishedAt"))
        or seconds(status.get("finishedAt"))
    )
    return WorkflowStatus(
        phase=WorkflowPhase.SUCCEEDED if succeeded else WorkflowPhase.FAILED,
        started_at=began,
        finished_at=ended,
        exit_code=0 if succeeded else code,
        ended_by=by,
        message="" if succeeded else _why(workflow, look, by, known["node"]),
        log_tail=look.log_tail,
        **known,
    )


def _ended_by(workflow: dict[str, Any], look: Look, code: int | None) -> EndedBy:
    said, reason = _said(workflow), as_dict((look.pod or {}).get("status")).get("reason") or ""
    if is_out_of_memory(workflow, look):
        return EndedBy.ITSELF
    if reason == "DeadlineExceeded" or _SAID_TIME_LIMIT.search(said):
        return EndedBy.TIME_LIMIT
    vanished = _has_vanished(look, said)
    by_a_signal = vanished or code in (None, EXIT_KILLED, EXIT_TERMINATED)
    stopped = bool(as_dict(workflow.get("spec")).get("shutdown"))
    if _SAID_STOP.search(said) or (stopped and by_a_signal):
        return EndedBy.STOP
    taken_away = by_a_signal and (
        _is_taken_away(look, reason, code) or _SAID_TAKEN_AWAY.search(said)
    )
    if vanished or taken_away:
        return EndedBy.EVICTION
    return EndedBy.ITSELF


def _has_vanished(look: Look, said: str) -> bool:
    """Whether its node went down under it: nobody knows the container's exit code, 255 or 137 stand for that."""
    reason = main_state(look.pod, "terminated").get("reason") or ""
    return reason in _VANISHED or said.startswith(tuple(f"main: {word} (" for word in _VANISHED))


def _is_taken_away(look: Look, reason: str, code: int | None) -> bool:
    """Whether the pod itself says so, or is gone while its Workflow is not: somebody deleted it."""
    if look.pod is None:
        return look.asked and code is not None
    conditions = as_list(as_dict(look.pod.get("status")).get("conditions"))
    disrupted = any(
        item.get("type") == "DisruptionTarget" and item.get("status") == "True"
        for item in conditions
    )
    deleted = bool(as_dict(look.pod.get("metadata")).get("deletionTimestamp"))
    return bool(_TAKEN_AWAY.fullmatch(reason)) or disrupted or deleted


def is_out_of_memory(workflow: dict[str, Any], look: Look) -> bool:
    """Whether the kernel ended its container at the container's memory limit."""
    said = _said(workflow)
    return main_state(look.pod, "terminated").get("reason") == "OOMKilled" or said.startswith(
        "main: OOMKilled"
    )


def _why(workflow: dict[str, Any], look: Look, by: EndedBy, node: str | None) -> str:
    pod_said = str(as_dict((look.pod or {}).get("status")).get("message") or "")
    said = (pod_said or _said(workflow)).strip().rstrip(".")
    if is_out_of_memory(workflow, look):
        return f"Its container used more memory than its limit{_memory_limit(workflow)} (OOMKilled)"
    if by is EndedBy.EVICTION:
        return f"Its pod was taken away from {node or 'its node'}" + (f": {said}" if said else "")
    return said


def _memory_limit(workflow: dict[str, Any]) -> str:
    spec = as_dict(workflow.get("spec"))
    for template in as_list(spec.get("templates")):
        limits = as_dict(as_dict(as_dict(template.get("container")).get("resources")).get("limits"))
        if template.get("name") == spec.get("entrypoint") and limits.get("memory"):
            return f" of {limits['memory']}"
    return ""


def _said(workflow: dict[str, Any]) -> str:
    """Argo's word on the end, its node's first: a stop that came too late covers up nothing."""
    return str(
        pod_node(workflow).get("message") or as_dict(workflow.get("status")).get("message") or ""
    )


def _started_at(look: Look) -> float | None:
    state = main_state(look.pod, "running") or main_state(look.pod, "terminated")
    return seconds(state.get("startedAt")) or look.started_at
