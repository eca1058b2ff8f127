"""This module counts free GPUs, by promises (the ledger) and by measurements (snapshots).

Neither is enough alone. See "Several nodes" in docs/decisions.md.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jobqueue.clock import rfc3339
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.resources import NodeSnapshot, free_gpus
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus


@dataclass(frozen=True)
class Node:
    """A node has in each cycle its monitor's snapshot, or the reason why there is no valid one."""

    name: str
    snapshot: NodeSnapshot | None = None
    error: str = ""
    not_accepting: str = ""  #: why the engine cannot start a job there, if it cannot
    is_dead: bool = False  #: an admin has declared it dead


@dataclass(frozen=True)
class Limits:
    """These limits apply to admissions.

    `pins_gpus`: the engine gives a job the very GPUs that it was admitted with; otherwise the
    engine chooses, and GPUs are only counted.
    """

    max_running: int = 1
    max_per_user: int = 1
    require_gpu: bool = True
    pins_gpus: bool = True


@dataclass
class Ledger:
    """The ledger has what is promised to jobs, from their admission until they have finished."""

    slots: int = 0
    users: Counter[str] = field(default_factory=Counter)
    uuids: set[str] = field(default_factory=set)
    promised: Counter[str] = field(default_factory=Counter)  #: node -> GPUs
    #: node -> those of the promised GPUs that no measurement can show yet
    starting: Counter[str] = field(default_factory=Counter)
    nodes: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, running: Sequence[Job], unmanaged: Sequence[WorkflowStatus]) -> "Ledger":
        """Return the ledger of what holds a slot now."""
        ledger = cls()
        for job in running:
            ledger.book(job, job.node, job.gpu_uuids)
        for workflow in unmanaged:
            ledger.book_unmanaged(workflow)
        return ledger

    def book(self, job: Job, node: str | None, gpu_uuids: Sequence[str]) -> None:
        """Count a job that holds a slot, or that is given one now."""
        self.slots += 1
        self.users[job.spec.user] += 1
        self.promise(node, job.spec.gpus, gpu_uuids, is_starting=job.phase is not Phase.RUNNING)

    def book_unmanaged(self, workflow: WorkflowStatus) -> None:
        """Count a live workflow of no admitted job: it occupies a slot until it has ended."""
        self.slots += 1
        is_starting = workflow.phase is WorkflowPhase.PENDING
        self.promise(workflow.node, _gpus_of(workflow), workflow.gpu_uuids, is_starting)

    def promise(
        self, node: str | None, gpus: int, gpu_uuids: Sequence[str] = (), is_starting: bool = True
    ) -> None:
        """Promise GPUs of a node, without a slot."""
        self.uuids.update(gpu_uuids)
        if node:
            self.nodes.add(node)
            self.promised[node] += gpus
            self.starting[node] += gpus if is_starting else 0


def free_uuids(snapshot: NodeSnapshot, ledger: Ledger) -> tuple[str, ...]:
    """Return the GPUs that an engine which pins GPUs can give to a job."""
    return tuple(gpu.uuid for gpu in free_gpus(snapshot, ledger.uuids))


def free_count(snapshot: NodeSnapshot, ledger: Ledger, limits: Limits) -> int:
    """Return how many GPUs of the node can be given to a job.

    If GPUs are only counted, nobody reports which one a job has. A running job shows in the
    measurement; one that is still starting does not, and may get any GPU that passes.
    """
    if limits.pins_gpus:
        return len(free_uuids(snapshot, ledger))
    unpromised = len(snapshot.gpus) - ledger.promised[snapshot.node]
    measured = len(free_gpus(snapshot, ())) - ledger.starting[snapshot.node]
    return max(0, min(unpromised, measured))


def known_nodes(
    answers: Sequence[Node],
    dead: Mapping[str, float],
    ours: Sequence[str],
    not_accepting: Mapping[str, str],
) -> list[Node]:
    """Return the nodes of this cycle, by name: what the monitors answered, except for dead nodes.

    `dead`: node -> since when an admin has declared it dead; `ours`: nodes of our jobs, which are
    listed even if no monitor answers for them; `not_accepting`: node -> why the engine could not
    start a job there.
    """
    found = {name: Node(name, error="no monitor answers for it") for name in ours if name}
    found |= {node.name: node for node in answers}
    found = {
        name: replace(node, not_accepting=not_accepting.get(name, ""))
        for name, node in found.items()
    }
    found |= {name: _declared_dead(name, at) for name, at in dead.items()}
    return [found[name] for name in sorted(found)]


def _declared_dead(name: str, at: float) -> Node:
    undo = f"if it is back, run: gpuq admin node alive {name}"
    return Node(name, error=f"declared dead at {rfc3339(at)}; {undo}", is_dead=True)


def _gpus_of(workflow: WorkflowStatus) -> int:
    """Return how many GPUs it was submitted with; 1 if that is not recorded."""
    submission: Mapping[str, Any] = workflow.submission or {}
    asked = str(submission.get("gpus") or "")
    return int(asked) if asked.isdecimal() else max(1, len(workflow.gpu_uuids))
