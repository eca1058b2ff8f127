"""Inspect one workflow more closely than a list shows it: its pod, its node and its log."""

from dataclasses import dataclass, replace
from typing import Any

from scheduler.clocks import Clocks
from scheduler.engines.argo.manifests import name_of, uid_of
from scheduler.engines.argo.pods import Pods
from scheduler.engines.argo.status.fields import as_dict, is_final, main_state, pod_node, seconds
from scheduler.engines.argo.status.pending import needs_pod, pod_problem
from scheduler.engines.argo.status.sight import NO_SIGHT, Sight
from scheduler.engines.argo.status.status import is_over
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus

#: How often a pod that does not start is inspected (s).
PENDING_PERIOD_S = 30
_NODE_AGE_AT_THE_END_S = 5
#: How old a node's readiness may be while its monitor answers (s): its kubelet may be down all the
#: same.
ANSWERING_NODE_AGE_S = 300


@dataclass
class Known:
    """More is known of a workflow than lists show."""

    status: WorkflowStatus
    started_at: float | None = None
    #: when its pod was last inspected because it does not start (monotonic)
    inspected_at: float | None = None
    sight: Sight = NO_SIGHT


class Inspector:
    """The inspector asks about pods and nodes as seldom as a workflow's state allows."""

    def __init__(self, pods: Pods, clocks: Clocks, node_age_s: float) -> None:
        """`node_age_s`: how old the known readiness of a node may be, in seconds."""
        self.answering: frozenset[str] = frozenset()  #: nodes whose monitors answer
        self._pods = pods
        self._clocks = clocks
        self._node_age_s = node_age_s

    def inspect(self, workflow: dict[str, Any], known: Known, closely: bool) -> Sight:
        """Return what is seen beside a workflow; `closely`: however young its pod is."""
        if is_final(workflow):
            return self._inspect_the_end(workflow, known)
        node = pod_node(workflow)
        self._inspect_pending(workflow, known, closely)
        is_lost = self._is_on_a_lost_node(node, closely)
        started = known.started_at
        is_new = started is None and known.status.phase is WorkflowPhase.PENDING
        if is_new and node.get("phase") == "Running":
            # As near as Argo's status comes; its pod shows the second once it has ended.
            started = self._clocks.wall()
        return replace(known.sight, node_lost=is_lost, started_at=started)

    def _is_on_a_lost_node(self, node: dict[str, Any], closely: bool) -> bool:
        """Return whether its pod's node is lost; a pod that no node has accepted has none."""
        at = node.get("hostNodeName")
        age_s = ANSWERING_NODE_AGE_S if at in self.answering else self._node_age_s
        if not at or self._age_s(node) < age_s:
            return False  # the node accepted the pod just now
        return self._pods.node_is_lost(str(at), 0 if closely else age_s)

    def _inspect_pending(self, workflow: dict[str, Any], known: Known, closely: bool) -> None:
        """Find out why a pod does not start, if Argo does not report it."""
        node, now = pod_node(workflow), self._clocks.monotonic()
        if node.get("phase") != "Pending" or not needs_pod(workflow):
            known.sight = NO_SIGHT
            return
        last = known.inspected_at
        is_fresh = last is not None and now - last < PENDING_PERIOD_S
        if not closely and (is_fresh or self._age_s(node) < PENDING_PERIOD_S):
            return
        pod = self._pods.of(name_of(workflow), uid_of(workflow))
        has_event = pod is not None and not pod_problem(pod)
        event = self._pods.newest_warning(pod) if has_event and pod is not None else ""
        known.sight = Sight(pod=pod, event=event)
        known.inspected_at = now

    def _age_s(self, node: dict[str, Any]) -> float:
        """Return how long ago Argo created the pod of a node of its status."""
        return self._clocks.wall() - (seconds(node.get("startedAt")) or self._clocks.wall())

    def _inspect_the_end(self, workflow: dict[str, Any], known: Known) -> Sight:
        """Return whether no container runs: its pod proves it, or its node if there is no pod."""
        pod = self._pods.of(name_of(workflow), uid_of(workflow))
        sight = Sight(asked=True, pod=pod, started_at=known.started_at)
        pod_spec = as_dict((pod or {}).get("spec"))
        node = pod_node(workflow).get("hostNodeName") or pod_spec.get("nodeName")
        if node and not is_over(workflow, replace(sight, node_lost=True)):
            is_lost = self._pods.node_is_lost(node, _NODE_AGE_AT_THE_END_S)
            sight = replace(sight, node_lost=is_lost)
        if pod is not None and main_state(pod, "terminated") and is_over(workflow, sight):
            sight = replace(sight, log_tail=self._pods.log_tail(pod))
        return sight
