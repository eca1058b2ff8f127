"""Read single fields of a Workflow or a pod: pure, and never an error, even after bad edits."""

import json
import re
from datetime import datetime
from typing import Any

from workflows.render import ANNOTATION_SUBMISSION, LABEL_ATTEMPT, LABEL_JOB, LABEL_USER

MAIN = "main"  #: Argo's name for the container of a template
_ATTEMPT = re.compile(r"-r([0-9]{1,6})$")


def as_dict(value: Any) -> dict[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; empty if the value is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def seconds(text: Any) -> float | None:
    """Return a Kubernetes time as seconds since the epoch; None if it is not one."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None


def is_final(workflow: dict[str, Any]) -> bool:
    """Return whether Argo is done with it."""
    return as_dict(workflow.get("status")).get("phase") in ("Succeeded", "Failed", "Error")


def identity(workflow: dict[str, Any]) -> tuple[str, int]:
    """Return job id and attempt, from its labels or its submission; ('', 0) if it is not ours."""
    metadata = as_dict(workflow.get("metadata"))
    labels = as_dict(metadata.get("labels"))
    entry = as_dict((submission(workflow) or {}).get("entry"))
    job_id = labels.get(LABEL_JOB) or entry.get("job_id")
    if not isinstance(job_id, str) or not job_id:
        return "", 0
    attempt = str(labels.get(LABEL_ATTEMPT, ""))
    if not attempt.isdecimal():
        suffix = _ATTEMPT.search(str(metadata.get("name")))
        attempt = suffix[1] if suffix else "1"
    return job_id, int(attempt)


def submission(workflow: dict[str, Any]) -> dict[str, Any] | None:
    """Return the submission that `render` wrote into an annotation; None if it cannot be read."""
    annotations = as_dict(as_dict(workflow.get("metadata")).get("annotations"))
    try:
        found = json.loads(annotations[ANNOTATION_SUBMISSION])
    except (KeyError, TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def pod_node(workflow: dict[str, Any]) -> dict[str, Any]:
    """Return the newest pod of its entrypoint among the nodes of its status; {} if none exists."""
    nodes = as_dict(as_dict(workflow.get("status")).get("nodes")).values()
    pods = [node for node in nodes if isinstance(node, dict) and node.get("type") == "Pod"]
    entrypoint = as_dict(workflow.get("spec")).get("entrypoint")
    ours = [node for node in pods if node.get("templateName") == entrypoint] or pods
    return max(ours, key=lambda node: seconds(node.get("startedAt")) or 0, default={})


def node_name(workflow: dict[str, Any], pod: dict[str, Any] | None) -> str | None:
    """Return the machine that its pod is on, else the one that it has to run on."""
    at = pod_node(workflow).get("hostNodeName") or as_dict((pod or {}).get("spec")).get("nodeName")
    return at or pinned_node(workflow)


def pinned_node(workflow: dict[str, Any]) -> str | None:
    """Return the machine that `render` pinned it to."""
    affinity = as_dict(as_dict(as_dict(workflow.get("spec")).get("affinity")).get("nodeAffinity"))
    required = as_dict(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    for term in as_list(required.get("nodeSelectorTerms")):
        for field in as_list(term.get("matchFields")):
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return None


def main_state(pod: dict[str, Any] | None, which: str) -> dict[str, Any]:
    """Return the main container's state (waiting, running, terminated); {} if in another."""
    for container in as_list(as_dict((pod or {}).get("status")).get("containerStatuses")):
        if container.get("name") == MAIN:
            return as_dict(as_dict(container.get("state")).get(which))
    return {}


def exit_code(workflow: dict[str, Any], pod: dict[str, Any] | None) -> int | None:
    """Return the main container's exit code, by its pod, else by Argo."""
    found: Any = main_state(pod, "terminated").get("exitCode")
    if found is None:
        found = as_dict(pod_node(workflow).get("outputs")).get("exitCode")
    try:
        return int(found)
    except (TypeError, ValueError):
        return None


def folder_hint(workflow: dict[str, Any], message: str) -> str:
    """Return the command that fixes a user's folder that cannot be mounted, or an empty text."""
    if "subpath" not in message.lower():
        return ""
    context = as_dict(as_dict(workflow.get("spec")).get("securityContext"))
    owner = f"-o {context.get('runAsUser', 1000)} -g {context.get('runAsGroup', 1000)}"
    user = as_dict(as_dict(workflow.get("metadata")).get("labels")).get(LABEL_USER, "<user>")
    return f"; create the folder on the node: install -d {owner} /data/{user}"
