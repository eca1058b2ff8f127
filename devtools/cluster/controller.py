"""This test double of Argo's controller handles Workflows with one container template.

It follows `operator.go` and `exec_control.go` of Argo 4.0, with their oddities.

- A Workflow is `Running` from the moment it is seen; a pod that no node can take is a *node* that
  is `Pending`, with the pod's condition, or what its container waits for, as message.
- A stop marks node and Workflow `Failed` at once and only then signals the containers (or deletes
  the pod, where none has started); the exit code is not written any more. A suspended Workflow does
  not end, and makes no pod.
- A pod that vanishes is the error `pod deleted`, after a grace (10 s there, `pod_grace_s` here); if
  its node was still pending, it is created again.
- A completed Workflow (its label says so) is never looked at again, nor is a deleted one.
"""

import threading
import time
from copy import deepcopy
from datetime import UTC, datetime

import requests

from devtools.cluster.api import Api, ApiError, Object
from devtools.cluster.pod import LABEL_COMPLETED, LABEL_WORKFLOW, PodImpossible, make_pod, path_of

LABEL_PHASE = "workflows.argoproj.io/phase"
#: What stands in for Argo's `exec kill`: trainings.py ends the containers of a pod that carries it.
ANNOTATION_SIGNAL = "tests/signal"
_FINAL = ("Succeeded", "Failed", "Error")
_PROGRESS = "workflows.argoproj.io/progress"
_TICK_S = 0.1


class Controller:
    """The controller runs in a thread between `start` and `stop`; `pause` suspends its work."""

    def __init__(self, api: Api, pod_grace_s: float = 1.0) -> None:
        self._api, self._pod_grace_s = api, pod_grace_s
        self._stopping, self._paused = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="argo", daemon=True)
        self.errors: list[str] = []  #: of this double itself; a test session ends with none

    def start(self) -> "Controller":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)

    def pause(self) -> None:
        self._paused.set()

    def go_on(self) -> None:
        self._paused.clear()

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                if not self._paused.is_set():
                    self._tick()
            except requests.RequestException:
                pass  # the API server is away for a while: some tests do that
            except ApiError as error:
                if error.status not in (
                    401,
                    403,
                    404,
                    409,
                    429,
                    500,
                    503,
                ):  # starting, or changed in the meantime
                    self.errors.append(str(error))
            except Exception as error:  # noqa: BLE001 (read when the session ends)
                self.errors.append(repr(error))

    def _tick(self) -> None:
        open_ones = {"labelSelector": f"{LABEL_COMPLETED}!=true"}
        workflows = self._api.items("/apis/argoproj.io/v1alpha1/workflows", **open_ones)
        if not workflows:
            return
        found = self._api.items(
            "/api/v1/pods", labelSelector=f"{LABEL_WORKFLOW},{LABEL_COMPLETED}!=true"
        )
        pods = {
            owner["uid"]: pod
            for pod in found
            for owner in pod["metadata"].get("ownerReferences", [])
        }
        for workflow in workflows:
            if "deletionTimestamp" not in workflow["metadata"]:
                self._operate(workflow, pods.get(workflow["metadata"]["uid"]))

    def _operate(self, before: Object, pod: Object | None) -> None:
        workflow = deepcopy(before)
        status = workflow.setdefault("status", {})
        if not status.get("phase"):
            status |= {
                "phase": "Running",
                "startedAt": _now(),
                "finishedAt": None,
                "progress": "0/1",
            }
        node = _node_of(workflow)
        if pod is not None:
            self._assess(workflow, node, pod)
        elif node is not None and node["phase"] == "Running" and self._is_late(node):
            node |= {"phase": "Error", "message": "pod deleted", "finishedAt": _now()}
        if workflow["spec"].get("shutdown"):
            self._shut_down(workflow, node, pod)
        elif (
            pod is None
            and not workflow["spec"].get("suspend")
            and (node is None or node["phase"] == "Pending")
        ):
            self._make_pod(workflow)
        self._conclude(workflow)
        if workflow != before:
            self._write(workflow)
            if pod is not None and workflow["status"]["phase"] in _FINAL:
                self._api.patch(path_of(pod), {"metadata": {"labels": {LABEL_COMPLETED: "true"}}})

    def _is_late(self, node: Object) -> bool:
        age = datetime.now(UTC) - datetime.fromisoformat(node["startedAt"])
        return age.total_seconds() > self._pod_grace_s

    # -- the node of the pod -----------------------------------------------------------------------

    def _assess(self, workflow: Object, node: Object | None, pod: Object) -> None:
        node = node or _new_node(workflow)
        if node["phase"] in _FINAL:
            return
        phase, message = _phase_of(pod)
        node |= {
            "phase": phase,
            "message": message,
            "progress": pod["metadata"]["annotations"].get(_PROGRESS, "0/1"),
        }
        if pod["spec"].get("nodeName"):
            node["hostNodeName"] = pod["spec"]["nodeName"]
        code = _main_state(pod, "terminated").get("exitCode")
        if code is not None:
            node["outputs"] = {"exitCode": str(code)}
        if phase in _FINAL:
            node |= {
                "finishedAt": _now(),
                "progress": "1/1" if phase == "Succeeded" else node["progress"],
            }
        workflow["status"]["progress"] = node["progress"]

    def _shut_down(self, workflow: Object, node: Object | None, pod: Object | None) -> None:
        strategy = workflow["spec"]["shutdown"]
        if node is not None and node["phase"] not in _FINAL:
            message = f"workflow shutdown with strategy:  {strategy}"
            node |= {"phase": "Failed", "message": message, "finishedAt": _now()}
            if pod is not None:
                self._signal(pod)
        elif node is None and not workflow["spec"].get("suspend"):
            node = _new_node(workflow)
            node |= {"phase": "Failed", "message": f"workflow shutdown with strategy: {strategy}"}

    def _signal(self, pod: Object) -> None:
        """Delete a pod that has not started, as Argo does."""
        if pod["status"].get("phase") == "Pending":
            self._api.delete(path_of(pod))
        else:
            self._api.patch(
                path_of(pod), {"metadata": {"annotations": {ANNOTATION_SIGNAL: "TERM"}}}
            )

    def _make_pod(self, workflow: Object) -> None:
        try:
            self._api.post(
                f"/api/v1/namespaces/{workflow['metadata']['namespace']}/pods", make_pod(workflow)
            )
        except ApiError as error:
            if (
                error.status == 409
                or "exceeded quota" in str(error)
                or error.status in (429, 500, 503)
            ):
                return  # Argo tries again later
            _fail(workflow, f"error in entry template execution: {error}")
        except PodImpossible as error:
            _fail(workflow, f"error in entry template execution: {error}")
        else:
            _new_node(workflow)

    # -- the Workflow ------------------------------------------------------------------------------

    def _conclude(self, workflow: Object) -> None:
        node, status = _node_of(workflow), workflow["status"]
        stopped, suspended = workflow["spec"].get("shutdown"), workflow["spec"].get("suspend")
        if (
            node is not None
            and node["phase"] in _FINAL
            and not suspended
            and status["phase"] not in _FINAL
        ):
            message = node.get("message", "")
            if stopped and node["phase"] != "Succeeded":
                message = f"Stopped with strategy '{stopped}'"
            status |= {"phase": node["phase"], "message": message, "finishedAt": _now()}
        labels = workflow["metadata"].setdefault("labels", {})
        labels[LABEL_PHASE] = status["phase"]
        if status["phase"] in _FINAL:
            labels[LABEL_COMPLETED] = "true"

    def _write(self, workflow: Object) -> None:
        metadata = workflow["metadata"]
        namespace = f"/apis/argoproj.io/v1alpha1/namespaces/{metadata['namespace']}"
        path = f"{namespace}/workflows/{metadata['name']}"
        self._api.request("PUT", path, workflow)


def _phase_of(pod: Object) -> tuple[str, str]:
    """Return the node's phase and message for a pod."""
    status = pod.get("status", {})
    phase = status.get("phase", "Pending")
    if phase == "Pending":
        return "Pending", _pending_reason(status)
    return _failure(status) if phase == "Failed" else (phase, "")


def _pending_reason(status: Object) -> str:
    waiting = [
        item["state"]["waiting"]
        for item in status.get("containerStatuses", [])
        if "waiting" in item["state"]
    ]
    for state in waiting:
        return (
            f"{state['reason']}: {state['message']}"
            if state.get("message")
            else str(state.get("reason", ""))
        )
    for condition in status.get("conditions", []):
        if condition.get("reason") == "Unschedulable":
            return (
                f"Unschedulable: {condition['message']}"
                if condition.get("message")
                else "Unschedulable"
            )
    return ""


def _failure(status: Object) -> tuple[str, str]:
    if status.get("message"):
        return "Failed", status["message"]
    containers = sorted(
        status.get("containerStatuses", []), key=lambda item: item["name"] != "main"
    )
    for container in [*status.get("initContainerStatuses", []), *containers]:
        ended = container["state"].get("terminated", {})
        if ended.get("exitCode"):
            message = (
                f"{container['name']}: {ended.get('reason', '')} (exit code {ended['exitCode']})"
            )
            message += f": {ended['message']}" if ended.get("message") else ""
            return ("Failed" if container["name"] == "main" else "Error"), message
    return "Failed", "pod failed: neither main nor wait container completed successfully"


def _main_state(pod: Object, which: str) -> Object:
    for container in pod.get("status", {}).get("containerStatuses", []):
        if container["name"] == "main":
            return dict(container["state"].get(which) or {})
    return {}


def _node_of(workflow: Object) -> Object | None:
    nodes: dict[str, Object] = workflow["status"].get("nodes", {})
    return nodes.get(workflow["metadata"]["name"])


def _new_node(workflow: Object) -> Object:
    """Return the node of the entrypoint's pod, whose id is the Workflow's name."""
    name = workflow["metadata"]["name"]
    node = {
        "id": name,
        "name": name,
        "displayName": name,
        "type": "Pod",
        "phase": "Pending",
        "startedAt": _now(),
    }
    node |= {
        "templateName": workflow["spec"]["entrypoint"],
        "templateScope": f"local/{name}",
        "progress": "0/1",
    }
    workflow["status"].setdefault("nodes", {})[name] = node
    return node


def _fail(workflow: Object, message: str) -> None:
    workflow["status"] |= {"phase": "Error", "message": message, "finishedAt": _now()}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
