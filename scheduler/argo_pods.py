"""What is asked of a Workflow's pod, its node and its log, and only when it is needed."""

from collections.abc import Callable
from typing import Any

from jobqueue.log import get_logger
from scheduler.argo_calls import Api, CallFailed, NoAnswer, is_absent
from scheduler.argo_fields import MAIN, as_dict, as_list, seconds
from scheduler.argo_objects import owners, pods_path

log = get_logger(__name__)

LOG_TAIL_LINES = 20
_LOG_TAIL_BYTES = 8192
#: The server cuts the end of a tail that is longer than this, not its beginning.
_LOG_LIMIT_BYTES = 256 * 1024
_LOG_TRIES = 2


class Pods:
    """The pods of one namespace; `node_is_lost` remembers a node's answer for a while."""

    def __init__(self, api: Api, namespace: str, monotonic: Callable[[], float]) -> None:
        self._api, self._namespace, self._monotonic = api, namespace, monotonic
        self._nodes: dict[str, tuple[float, bool]] = {}

    def of(self, name: str, uid: str) -> dict[str, Any] | None:
        """The newest pod of this very Workflow; an older life's of the same name may still be on its way out."""
        query = {"labelSelector": f"workflows.argoproj.io/workflow={name}"}
        found = as_list(self._api.call("GET", pods_path(self._namespace), query).get("items"))
        pods = [pod for pod in found if uid in owners(pod)]
        return max(pods, key=lambda pod: str(as_dict(pod.get("metadata")).get("creationTimestamp")), default=None)

    def newest_warning(self, pod: dict[str, Any]) -> str:
        """What the cluster last complained of about a pod ('FailedMount: …'); '' where it did not."""
        query = {"fieldSelector": f"involvedObject.name={pod['metadata']['name']},type=Warning", "limit": "100"}
        answer = self._api.call("GET", f"/api/v1/namespaces/{self._namespace}/events", query)
        event = max(as_list(answer.get("items")), key=_event_at, default=None)
        return f"{event.get('reason')}: {event.get('message')}" if event else ""

    def node_is_lost(self, node: str, max_age_s: float) -> bool:
        """Whether a node is not Ready or gone, as seen at most `max_age_s` ago."""
        now = self._monotonic()
        seen = self._nodes.get(node)
        if seen is None or now - seen[0] > max_age_s:
            self._nodes = {name: known for name, known in self._nodes.items() if now - known[0] < 3600}
            seen = self._nodes[node] = (now, self._ask_node(node))
        return seen[1]

    def log_tail(self, pod: dict[str, Any]) -> tuple[str, ...]:
        """The last lines of the main container; () where they cannot be had, which must not hold up a job's end."""
        path = f"{pods_path(self._namespace, pod['metadata']['name'])}/log"
        query = {"container": MAIN, "tailLines": str(LOG_TAIL_LINES), "limitBytes": str(_LOG_LIMIT_BYTES)}
        for _ in range(_LOG_TRIES):
            try:
                return tail(self._api.text(path, query))
            except NoAnswer as error:
                trouble: CallFailed = error
            except CallFailed as error:  # the kubelet's no is final: its node is away, or the log is gone
                trouble = error
                break
        log.warning("The log of a container cannot be read.", pod=pod["metadata"]["name"], error=str(trouble))
        return ()

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
    """The last lines of a log, blank ones left out."""
    lines = text[-_LOG_TAIL_BYTES:].splitlines()
    return tuple(line for line in lines[-LOG_TAIL_LINES:] if line.strip())


def _event_at(event: dict[str, Any]) -> float:
    times = (event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp"))
    return next((at for at in map(seconds, times) if at is not None), 0.0)
