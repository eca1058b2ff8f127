"""What is asked of a Workflow's pod, its node and its log, and only when it is needed."""

import re
from collections.abc import Callable
from typing import Any

from jobqueue.service.log import get_logger
from scheduler.engines.argo.errors import Api, CallFailed, NoAnswer, is_absent
from scheduler.engines.argo.fields import MAIN, as_dict, as_list, seconds
from scheduler.engines.argo.manifests import owners, pods_path

log = get_logger(__name__)

LOG_TAIL_LINES = 20
_LINES_ASKED = LOG_TAIL_LINES + 5  # Argo's own go out again
_LOG_TAIL_BYTES = 8192
#: The server cuts the end of a tail that is longer than this, not its beginning.
_LOG_LIMIT_BYTES = 256 * 1024
#: What a cycle spends on logs (s): through kubelets that do not answer each of them takes a call's whole timeout.
_LOGS_S = 10.0
#: How long it is believed that a node is lost (s).
_LOST_AGE_S = 30
#: A line of Argo's own in the container's log, as text or as JSON; after the second kind nothing is the container's.
_ARGOS = re.compile(r'time=.* argo=true\b|\{.*"argo": ?true')
_ENDED = re.compile(rf"(?=.*sub-process exited)({_ARGOS.pattern})")


class Pods:
    """The pods of one namespace; it remembers nodes' answers for a while, and how long a cycle has read logs."""

    def __init__(self, api: Api, namespace: str, monotonic: Callable[[], float]) -> None:
        self.namespace = namespace
        self._api = api
        self._monotonic = monotonic
        self._nodes: dict[str, tuple[float, bool]] = {}
        self.begin_cycle()

    def begin_cycle(self) -> None:
        """From now on there is time for logs again."""
        self._logs_left_s = _LOGS_S
        self._mute: set[str] = set()  # nodes whose kubelet gave no log in this cycle

    def of(self, name: str, uid: str) -> dict[str, Any] | None:
        """The newest pod of this very Workflow; an older life's of the same name may still be on its way out."""
        query = {"labelSelector": f"workflows.argoproj.io/workflow={name}"}
        found = as_list(self._api.call("GET", pods_path(self.namespace), query).get("items"))
        pods = [pod for pod in found if uid in owners(pod)]
        return max(
            pods,
            key=lambda pod: str(as_dict(pod.get("metadata")).get("creationTimestamp")),
            default=None,
        )

    def newest_warning(self, pod: dict[str, Any]) -> str:
        """What the cluster last complained of about a pod ('FailedMount: …'); '' where it did not."""
        query = {
            "fieldSelector": f"involvedObject.name={pod['metadata']['name']},type=Warning",
            "limit": "100",
        }
        answer = self._api.call("GET", f"/api/v1/namespaces/{self.namespace}/events", query)
        event = max(as_list(answer.get("items")), key=_event_at, default=None)
        return f"{event.get('reason')}: {event.get('message')}" if event else ""

    def node_is_lost(self, node: str, max_age_s: float) -> bool:
        """Whether a node is not Ready or gone, as seen at most `max_age_s` ago; one that was is looked at sooner."""
        now = self._monotonic()
        seen = self._nodes.get(node)
        if seen is None or now - seen[0] > (min(max_age_s, _LOST_AGE_S) if seen[1] else max_age_s):
            self._nodes = {
                name: known for name, known in self._nodes.items() if now - known[0] < 3600
            }
            seen = self._nodes[node] = (now, self._ask_node(node))
        return seen[1]

    def log_tail(self, pod: dict[str, Any]) -> tuple[str, ...]:
        """The last lines of the main container; () where they cannot be had, which must not hold up a job's end."""
        try:
            return tail(self._read_log(pod, str(as_dict(pod.get("spec")).get("nodeName"))))
        except CallFailed as error:
            log.warning(
                "The log of a container cannot be read.",
                pod=pod["metadata"]["name"],
                error=str(error),
            )
            return ()

    def _read_log(self, pod: dict[str, Any], node: str) -> str:
        """With a second try where nothing answers; a kubelet's no is final: the log is gone, say."""
        if self._gives_no_log(node):
            raise NoAnswer(f"the node {node} does not answer")
        try:
            return self._ask_log(pod)
        except NoAnswer:
            pass
        try:
            return self._ask_log(pod)
        except NoAnswer:
            self._mute.add(node)
            raise

    def _gives_no_log(self, node: str) -> bool:
        """Whether it did not in this cycle, or was lost and still is."""
        seen = self._nodes.get(node)
        return node in self._mute or (
            seen is not None and seen[1] and self.node_is_lost(node, _LOST_AGE_S)
        )

    def _ask_log(self, pod: dict[str, Any]) -> str:
        if self._logs_left_s <= 0:
            raise NoAnswer("the time that this cycle has for logs is spent")
        path = f"{pods_path(self.namespace, pod['metadata']['name'])}/log"
        query = {
            "container": MAIN,
            "tailLines": str(_LINES_ASKED),
            "limitBytes": str(_LOG_LIMIT_BYTES),
        }
        began = self._monotonic()
        try:
            return self._api.text(path, query)
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
    """The container's own last lines: without blank ones, and without what Argo's wrapper around it says."""
    lines = text[-_LOG_TAIL_BYTES:].splitlines()
    ended = next((number for number, line in enumerate(lines) if _ENDED.match(line)), len(lines))
    own = [line for line in lines[:ended] if line.strip() and not _ARGOS.match(line)]
    return tuple(own[-LOG_TAIL_LINES:])


def _event_at(event: dict[str, Any]) -> float:
    times = (event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return next((at for at in map(seconds, times) if at is not None), 0.0)
