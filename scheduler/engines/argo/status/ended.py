"""Find out how a Workflow ended whose container cannot run any more: pure functions."""

import re
from typing import Any

from scheduler.engines.argo.status.fields import (
    as_dict,
    as_list,
    exit_code,
    main_state,
    pod_node,
    seconds,
)
from scheduler.engines.argo.status.sight import Sight
from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus

_EXIT_KILLED = 137
_EXIT_TERMINATED = 143
#: `status.reason` of a pod that the kubelet ended, or did not accept.
_REMOVED = re.compile(
    r"Evicted|Preempt\w*|Terminated|Shutdown|NodeShutdown|NodeLost|NodeAffinity"
    r"|UnexpectedAdmissionError|OutOf.*"
)
#: The same if only Argo's message is left, which is the pod's `status.message`.
_MESSAGE_REMOVED = re.compile(
    r"pod deleted|node was low on resource|imminent node shutdown|Pod was rejected"
    r"|Preempted in order|Allocate failed"
)
#: How the end of a container is called that the runtime, or the kubelet, has lost.
_VANISHED = ("Unknown", "ContainerStatusUnknown")
_MESSAGE_TIME_LIMIT = re.compile(
    r"longer than the specified deadline|DeadlineExceeded|exceeded its deadline"
)
_MESSAGE_STOP = re.compile(r"workflow shutdown with strategy|Stopped with strategy")


def ended_status(workflow: dict[str, Any], sight: Sight, known: dict[str, Any]) -> WorkflowStatus:
    """Return the status of a Workflow that is over; `known` has its identity."""
    code = exit_code(workflow, sight.pod)
    succeeded = as_dict(workflow.get("status"))["phase"] == "Succeeded" or code == 0
    ended_by = EndedBy.ITSELF if succeeded else _ended_by(workflow, sight, code)
    return WorkflowStatus(
        phase=WorkflowPhase.SUCCEEDED if succeeded else WorkflowPhase.FAILED,
        started_at=_started_at(workflow, sight, has_run=code is not None or succeeded),
        finished_at=_finished_at(workflow, sight),
        exit_code=0 if succeeded else code,
        ended_by=ended_by,
        message="" if succeeded else _why(workflow, sight, ended_by, known["node"]),
        log_tail=sight.log_tail,
        **known,
    )


def _started_at(workflow: dict[str, Any], sight: Sight, has_run: bool) -> float | None:
    began = sight.container_started_at
    if began is not None or sight.pod is not None:
        return began
    if has_run or "pod deleted" in _message(workflow):
        return seconds(pod_node(workflow).get("startedAt"))  # of its pod: the best that is left
    return None


def _finished_at(workflow: dict[str, Any], sight: Sight) -> float | None:
    return (
        seconds(main_state(sight.pod, "terminated").get("finishedAt"))
        or seconds(pod_node(workflow).get("finishedAt"))
        or seconds(as_dict(workflow.get("status")).get("finishedAt"))
    )


def _ended_by(workflow: dict[str, Any], sight: Sight, code: int | None) -> EndedBy:
    message = _message(workflow)
    reason = as_dict((sight.pod or {}).get("status")).get("reason") or ""
    if _is_out_of_memory(workflow, sight):
        return EndedBy.ITSELF
    if reason == "DeadlineExceeded" or _MESSAGE_TIME_LIMIT.search(message):
        return EndedBy.TIME_LIMIT
    has_vanished = _has_vanished(sight, message)
    by_signal = has_vanished or code in (None, _EXIT_KILLED, _EXIT_TERMINATED)
    is_stopped = bool(as_dict(workflow.get("spec")).get("shutdown"))
    if _MESSAGE_STOP.search(message) or (is_stopped and by_signal):
        return EndedBy.STOP
    was_removed = _is_removed(sight, reason, code) or _MESSAGE_REMOVED.search(message)
    return EndedBy.EVICTION if has_vanished or (by_signal and was_removed) else EndedBy.ITSELF


def _has_vanished(sight: Sight, message: str) -> bool:
    """Return whether its node went down under it: its exit code 255 or 137 is not its own."""
    reason = main_state(sight.pod, "terminated").get("reason") or ""
    return reason in _VANISHED or message.startswith(tuple(f"main: {word} (" for word in _VANISHED))


def _is_removed(sight: Sight, reason: str, code: int | None) -> bool:
    """Return whether the pod shows that it was removed, or is gone while its Workflow is not."""
    if sight.pod is None:
        return sight.asked and code is not None
    conditions = as_list(as_dict(sight.pod.get("status")).get("conditions"))
    is_disrupted = any(
        item.get("type") == "DisruptionTarget" and item.get("status") == "True"
        for item in conditions
    )
    is_deleted = bool(as_dict(sight.pod.get("metadata")).get("deletionTimestamp"))
    return bool(_REMOVED.fullmatch(reason)) or is_disrupted or is_deleted


def _is_out_of_memory(workflow: dict[str, Any], sight: Sight) -> bool:
    """Return whether the kernel ended its container at the container's memory limit."""
    is_killed = main_state(sight.pod, "terminated").get("reason") == "OOMKilled"
    return is_killed or _message(workflow).startswith("main: OOMKilled")


def _why(workflow: dict[str, Any], sight: Sight, ended_by: EndedBy, node: str | None) -> str:
    pod_message = str(as_dict((sight.pod or {}).get("status")).get("message") or "")
    message = (pod_message or _message(workflow)).strip().rstrip(".")
    if _is_out_of_memory(workflow, sight):
        return f"Its container used more memory than its limit{_memory_limit(workflow)} (OOMKilled)"
    if ended_by is EndedBy.EVICTION:
        return f"Its pod was removed from {node or 'its node'}" + (
            f": {message}" if message else ""
        )
    return message


def _memory_limit(workflow: dict[str, Any]) -> str:
    spec = as_dict(workflow.get("spec"))
    for template in as_list(spec.get("templates")):
        resources = as_dict(as_dict(template.get("container")).get("resources"))
        limits = as_dict(resources.get("limits"))
        if template.get("name") == spec.get("entrypoint") and limits.get("memory"):
            return f" of {limits['memory']}"
    return ""


def _message(workflow: dict[str, Any]) -> str:
    """Return Argo's message on the end, its node's first: it holds even if a stop came later."""
    status = as_dict(workflow.get("status"))
    return str(pod_node(workflow).get("message") or status.get("message") or "")
