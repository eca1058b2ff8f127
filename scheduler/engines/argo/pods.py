"""Ask about a Workflow's pod, its node and its log, only when that is needed."""

import re
from collections.abc import Callable
from typing import Any

from jobqueue.service.log import get_logger
from scheduler.engines.argo.errors import Api, CallFailed, NoAnswer, is_absent
from scheduler.engines.argo.manifests import name_of, owners, pods_path
from scheduler.engines.argo.status.fields import MAIN, as_dict, as_list, seconds
from scheduler.engines.log_tail import LOG_TAIL_BYTES, LOG_TAIL_LINES

log = get_logger(__name__)

_LINES_ASKED = LOG_TAIL_LINES + 5  # Argo's own lines are removed again
#: The server cuts the end of a longer tail, not its beginning.
_LOG_LIMIT_BYTES = 256 * 1024
#: What a cycle spends on logs (s): a kubelet that is not responding takes a call's whole timeout.
_LOGS_S = 10.0
#: How long it is believed that a node is lost (s).
_LOST_AGE_S = 30
_FORGET_S = 3600
#: A line of Argo's own in the container's log, as text or as JSON.
_ARGO_LINE = re.compile(r'time=.* argo=true\b|\{.*"argo": ?true')
#: Argo's last line: nothing after it is the container's.
_ARGO_END = re.compile(rf"(?=.*sub-process exited)({_ARGO_LINE.pattern})")


class Pods:
    """Pods of one namespace are asked for here; the state of nodes is remembered."""

    def __init__(self, api: Api, namespace: str, monotonic: Callable[[], float]) -> None:
        self.namespace = namespace
        self._api = api
        self._monotonic = monotonic
        self._nodes: dict[str, tuple[float, bool]] = {}  # name -> when asked, is it lost
        self.begin_cycle()

    def begin_cycle(self) -> None:
        """Give the logs of a new cycle their time."""
        self._logs_left_s = _LOGS_S
        self._without_logs: set[str] = set()  # nodes whose kubelet returned no log in this cycle

    def of(self, name: str, uid: str) -> dict[str, Any] | None:
        """Return the newest pod of this very Workflow.

        A pod of an earlier Workflow of the same name may still be terminating.
        """
        query = {"labelSelector": f"workflows.argoproj.io/workflow={name}"}
        found = as_list(self._api.call("GET", pods_path(self.namespace), query).get("items"))
        pods = [pod for pod in found if uid in owners(pod)]
        return max(pods, key=_created_at, default=None)

    def newest_warning(self, pod: dict[str, Any]) -> str:
        """Return the newest warning about a pod ('FailedMount: …'); empty if there is none."""
        about = f"involvedObject.name={name_of(pod)},type=Warning"
        query = {"fieldSelector": about, "limit": "100"}
        answer = self._api.call("GET", f"/api/v1/namespaces/{self.namespace}/events", query)
        event = max(as_list(answer.get("items")), key=_event_at, default=None)
        return f"{event.get('reason')}: {event.get('message')}" if event else ""

    def node_is_lost(self, node: str, max_age_s: float) -> bool:
        """Return whether a node is not Ready or gone, as known for at most `max_age_s`.

        A node that was lost is asked about sooner.
        """
        now = self._monotonic()
        known = self._nodes.get(node)
        age_s = min(max_age_s, _LOST_AGE_S) if known is not None and known[1] else max_age_s
        if known is None or now - known[0] > age_s:
            self._nodes = {
                name: entry for name, entry in self._nodes.items() if now - entry[0] < _FORGET_S
            }
            known = self._nodes[node] = (now, self._ask_node(node))
        return known[1]

    def log_tail(self, pod: dict[str, Any]) -> tuple[str, ...]:
        """Return the last lines of the main container; () if they cannot be had.

        A missing log must not delay the end of a job.
        """
        try:
            return tail(self._read_log(pod, str(as_dict(pod.get("spec")).get("nodeName"))))
        except CallFailed as error:
            log.warning("Container log cannot be read.", pod=name_of(pod), error=str(error))
            return ()

    def _read_log(self, pod: dict[str, Any], node: str) -> str:
        """Try twice if there is no answer; a kubelet's refusal is final (the log is gone, say)."""
        if self._returns_no_log(node):
            raise NoAnswer(f"the node {node} is not responding")
        try:
            return self._ask_log(pod)
        except NoAnswer:
            pass
        try:
            return self._ask_log(pod)
        except NoAnswer:
            self._without_logs.add(node)
            raise

    def _returns_no_log(self, node: str) -> bool:
        """Return whether it returned none in this cycle, or was lost and still is."""
        known = self._nodes.get(node)
        was_lost = known is not None and known[1]
        return node in self._without_logs or (was_lost and self.node_is_lost(node, _LOST_AGE_S))

    def _ask_log(self, pod: dict[str, Any]) -> str:
        if self._logs_left_s <= 0:
            raise NoAnswer("this cycle's time for logs is used up")
        path = f"{pods_path(self.namespace, name_of(pod))}/log"
        limits = {"tailLines": str(_LINES_ASKED), "limitBytes": str(_LOG_LIMIT_BYTES)}
        began = self._monotonic()
        try:
            return self._api.text(path, {"container": MAIN, **limits})
        finally:
            self._logs_left_s -= self._monotonic() - began

    def _ask_node(self, node: str) -> bool:
        try:
            status = as_dict(self._api.call("GET", f"/api/v1/nodes/{node}").get("status"))
        except CallFailed as error:
            if is_absent(error, node):
                return True
            raise
        ready = (item for item in as_list(status.get("conditions")) if item.get("type") == "Ready")
        return not any(item.get("status") == "True" for item in ready)


def tail(text: str) -> tuple[str, ...]:
    """Return the container's own last lines, without blank ones and without Argo's."""
    lines = text[-LOG_TAIL_BYTES:].splitlines()
    ended = next((n for n, line in enumerate(lines) if _ARGO_END.match(line)), len(lines))
    own = [line for line in lines[:ended] if line.strip() and not _ARGO_LINE.match(line)]
    return tuple(own[-LOG_TAIL_LINES:])


def _created_at(pod: dict[str, Any]) -> str:
    return str(as_dict(pod.get("metadata")).get("creationTimestamp"))


def _event_at(event: dict[str, Any]) -> float:
    times = (event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return next((at for at in map(seconds, times) if at is not None), 0.0)
