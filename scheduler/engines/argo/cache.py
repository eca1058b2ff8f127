"""How all workflows stand, for one list call a cycle: what is over is remembered, and what is odd is looked at closer.

A list brings the workflows that Argo has not labelled as completed. One that was seen alive and is not among them any
more has ended, was deleted, or lost its labels to somebody's edit: it is asked for by name. Everything is listed only
at the start and now and then, page by page.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from jobqueue.service.log import get_logger
from scheduler.engines.argo.errors import Api, NoAnswer, Refused, get_or_none, is_of_one
from scheduler.engines.argo.fields import as_dict, identity, main_state, pod_node, seconds
from scheduler.engines.argo.manifests import OPEN, OURS, uid_of, workflows_path
from scheduler.engines.argo.pods import Pods
from scheduler.engines.argo.status import (
    NO_LOOK,
    Look,
    is_final,
    is_over,
    needs_pod,
    pod_trouble,
    status_of,
)
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus

log = get_logger(__name__)

PAGE = 250
_LIST_TRIES = 3
#: How often everything is listed, and how often a pod that does not start is looked at (s).
ALL_S = 600
PENDING_LOOK_S = 30
_NODE_LOOK_AT_THE_END_S = 5
#: How old a node's readiness may be while its monitor answers (s): its kubelet may be down all the same.
ANSWERING_LOOK_S = 300


@dataclass
class _Memory:
    """What is known of one Workflow beyond what a list says; once it is not live, nothing about it changes any more."""

    status: WorkflowStatus
    started_at: float | None = None
    looked_at: float | None = (
        None  #: when its pod was looked at last because it does not start (monotonic)
    )
    look: Look = NO_LOOK


@dataclass(frozen=True)
class Clocks:
    """Two clocks in seconds: since the epoch, and one that never jumps."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class WorkflowCache:
    """The workflows of one namespace. `look_back`: how many that ended unseen are looked at closely, newest first."""

    def __init__(
        self,
        api: Api,
        pods: Pods,
        clocks: Clocks,
        look_back: int,
        node_look_s: float,
    ) -> None:
        self.answering: frozenset[str] = frozenset()  #: nodes whose monitors answer
        self._api = api
        self._namespace = pods.namespace
        self._pods = pods
        self._clock = clocks.wall
        self._monotonic = clocks.monotonic
        self._look_back = look_back
        self._node_look_s = node_look_s
        self._known: dict[str, _Memory] = {}
        self._all_at: float | None = None
        self._keep_alive: Callable[[], None] = lambda: None
        self.version: str | None = None  #: of the last list: where a watch goes on

    def created(self, workflow: dict[str, Any]) -> None:
        """It was made just now: one that ends before the next list is missed there."""
        self._known[workflow["metadata"]["name"]] = _Memory(
            status_of(workflow, NO_LOOK, self._clock())
        )

    def forget(self, workflow: WorkflowStatus) -> None:
        """It was deleted: no list shows what became of one that was over."""
        known = self._known.get(workflow.name)
        if known is not None and known.status.uid == workflow.uid:
            del self._known[workflow.name]

    def all(self, keep_alive: Callable[[], None]) -> list[WorkflowStatus]:
        """Return all workflows of ours; `keep_alive` is called between the steps."""
        self._keep_alive = keep_alive
        self._pods.begin_cycle()
        if self._all_at is None or self._monotonic() - self._all_at > ALL_S:
            self._list_all()
        else:
            self._list_open()
        self._shorten()
        return [memory.status for memory in self._known.values()]

    def one(self, name: str) -> WorkflowStatus | None:
        """One by name, whoever made it, looked at closely; None where there is none."""
        return self._one(name, closely=True)

    def _one(self, name: str, closely: bool = False) -> WorkflowStatus | None:
        workflow = get_or_none(self._api, workflows_path(self._namespace, name), name)
        if workflow is None:
            self._known.pop(name, None)
            return None
        if identity(workflow)[0] or self._knows(workflow):
            return self._remember(workflow, closely)
        return status_of(workflow, NO_LOOK, self._clock())

    def _again(self, name: str) -> None:
        """One that a list does not show any more; where the server refuses it alone, it stays as it was seen last."""
        try:
            self._one(name)
        except Refused as error:
            if not is_of_one(error):
                raise
            log.warning("A workflow cannot be looked at.", workflow=name, error=str(error))

    # -- lists -----------------------------------------------------------------------------------------------------

    def _list_open(self) -> None:
        seen = set()
        for workflow in self._ours(OPEN):
            seen.add(name_of(workflow))
            self._remember(workflow)
        for name, memory in list(self._known.items()):
            if name not in seen and memory.status.is_live:
                self._again(name)

    def _list_all(self) -> None:
        """Everything; of what ended while nobody looked, the newest are looked at closely."""
        unseen: dict[str, WorkflowStatus] = {}
        newest: list[dict[str, Any]] = []
        seen = set()
        for workflow in self._ours(OURS):
            seen.add(name_of(workflow))
            if not is_final(workflow) or self._knows(workflow):
                self._remember(workflow)
            else:
                unseen[name_of(workflow)] = status_of(workflow, NO_LOOK, self._clock())
                newest = sorted([*newest, workflow], key=_ended_at)[-self._look_back :]
        for workflow in newest:
            unseen[name_of(workflow)] = self._remember(workflow)
        for name, memory in list(self._known.items()):
            if name not in seen and memory.status.is_live:
                self._again(name)  # deleted, or an edit hides it from every list
            elif name not in seen:
                del self._known[name]
        for name, status in unseen.items():
            self._known.setdefault(name, _Memory(status))
        self._all_at = self._monotonic()

    def _ours(self, selector: str) -> Iterator[dict[str, Any]]:
        """The workflows that a selector finds; one whose labels make no sense is nobody's."""
        for page in self._pages(selector):
            for workflow in page:
                if identity(workflow)[0] or self._knows(workflow):
                    yield workflow
                else:
                    log.warning("A workflow's labels name no job.", workflow=name_of(workflow))

    def _pages(self, selector: str) -> Iterator[list[dict[str, Any]]]:
        query, tries = {"labelSelector": selector, "limit": str(PAGE)}, 0
        while True:
            self._keep_alive()
            try:
                answer = self._api.call("GET", workflows_path(self._namespace), query)
            except Refused as error:  # the list went on for longer than the server keeps it: once more from its start
                tries += 1
                if error.status != 410 or tries >= _LIST_TRIES:
                    raise
                query.pop("continue", None)
                continue
            items = answer.get("items")
            if not isinstance(items, list):  # never "there are none": that would end every job
                raise NoAnswer("its list of workflows is none")
            yield [
                item
                for item in items
                if isinstance(item, dict) and isinstance(item.get("metadata"), dict)
            ]
            metadata = as_dict(answer.get("metadata"))
            self.version = metadata.get("resourceVersion") or self.version
            if not metadata.get("continue"):
                return
            query["continue"] = str(metadata["continue"])

    def _shorten(self) -> None:
        """Log tails are for those that end now; of a thousand tombstones they would fill the memory."""
        over = [memory for memory in self._known.values() if memory.status.log_tail]
        over.sort(key=lambda memory: memory.status.finished_at or 0)
        for memory in over[: -self._look_back]:
            memory.status = replace(memory.status, log_tail=())

    # -- one workflow ----------------------------------------------------------------------------------------------

    def _knows(self, workflow: dict[str, Any]) -> bool:
        known = self._known.get(name_of(workflow))
        return known is not None and known.status.uid == uid_of(workflow)

    def _remember(self, workflow: dict[str, Any], closely: bool = False) -> WorkflowStatus:
        name = name_of(workflow)
        if not self._knows(workflow):
            unlooked = replace(
                status_of(workflow, NO_LOOK, self._clock()), phase=WorkflowPhase.RUNNING
            )
            self._known[name] = _Memory(unlooked)
        known = self._known[name]
        if known.status.is_live or not is_final(
            workflow
        ):  # a person's `argo retry` brings one back to life
            look = self._look(workflow, known, closely)
            before, known.status = known.status, status_of(workflow, look, self._clock())
            if not known.status.job_id:  # an edit took what says whose it is; its uid still does
                known.status = replace(known.status, job_id=before.job_id, attempt=before.attempt)
            known.started_at = known.status.started_at
        return known.status

    def _look(self, workflow: dict[str, Any], known: _Memory, closely: bool) -> Look:
        self._keep_alive()
        if is_final(workflow):
            return self._look_at_the_end(workflow, known)
        node = pod_node(workflow)
        self._look_at_pending(workflow, known, closely)
        lost = self._is_on_a_lost_node(node, closely)
        started = known.started_at
        if (
            started is None
            and node.get("phase") == "Running"
            and known.status.phase is WorkflowPhase.PENDING
        ):
            started = (
                self._clock()
            )  # as near as Argo's word comes; its pod tells the second once it has ended
        return replace(known.look, node_lost=lost, started_at=started)

    def _is_on_a_lost_node(self, node: dict[str, Any], closely: bool) -> bool:
        """Whether its pod's node is lost; a pod that no node has taken has none."""
        at = node.get("hostNodeName")
        look_s = ANSWERING_LOOK_S if at in self.answering else self._node_look_s
        if not at or self._age_s(node) < look_s:
            return False  # a pod that came just now was taken by it
        return self._pods.node_is_lost(str(at), 0 if closely else look_s)

    def _look_at_pending(self, workflow: dict[str, Any], known: _Memory, closely: bool) -> None:
        """Why a pod does not start, where Argo does not say; `closely`: however young it is."""
        node, now = pod_node(workflow), self._monotonic()
        if node.get("phase") != "Pending" or not needs_pod(workflow):
            known.look = NO_LOOK
            return
        looked = known.looked_at is not None and now - known.looked_at < PENDING_LOOK_S
        if not closely and (looked or self._age_s(node) < PENDING_LOOK_S):
            return
        pod = self._pods.of(name_of(workflow), uid_of(workflow))
        event = self._pods.newest_warning(pod) if pod is not None and not pod_trouble(pod) else ""
        known.look, known.looked_at = Look(pod=pod, event=event), now

    def _age_s(self, node: dict[str, Any]) -> float:
        """How long ago Argo made the pod of a node of its status."""
        return self._clock() - (seconds(node.get("startedAt")) or self._clock())

    def _look_at_the_end(self, workflow: dict[str, Any], known: _Memory) -> Look:
        """Its pod, which alone proves that no container runs; its node where the pod does not; and then its log."""
        pod = self._pods.of(name_of(workflow), uid_of(workflow))
        look = Look(asked=True, pod=pod, started_at=known.started_at)
        node = pod_node(workflow).get("hostNodeName") or as_dict((pod or {}).get("spec")).get(
            "nodeName"
        )
        if node and not is_over(workflow, replace(look, node_lost=True)):
            look = replace(look, node_lost=self._pods.node_is_lost(node, _NODE_LOOK_AT_THE_END_S))
        if pod is not None and main_state(pod, "terminated") and is_over(workflow, look):
            look = replace(look, log_tail=self._pods.log_tail(pod))
        return look


def name_of(workflow: dict[str, Any]) -> str:
    return str(workflow["metadata"].get("name"))


def _ended_at(workflow: dict[str, Any]) -> float:
    return seconds(as_dict(workflow.get("status")).get("finishedAt")) or 0.0
