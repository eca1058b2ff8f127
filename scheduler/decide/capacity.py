"""What is free: by what was promised (the ledger) and by what was measured (the snapshots), never by one alone."""

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
    """What is known of a node in this cycle: its monitor's snapshot, or why there is none that can be trusted."""

    name: str
    snapshot: NodeSnapshot | None = None
    error: str = ""
    shut: str = ""  #: why the engine does not get a job onto it, where it does not
    is_dead: bool = False  #: an admin has declared it so


@dataclass(frozen=True)
class Limits:
    """`pins_gpus`: the engine gives a job the very GPUs that it was admitted with; else they are only counted."""

    max_running: int = 1
    max_per_user: int = 1
    require_gpu: bool = True
    pins_gpus: bool = True


@dataclass
class Ledger:
    """What is promised already, from an admission until the job has finished."""

    slots: int = 0
    users: Counter[str] = field(default_factory=Counter)
    uuids: set[str] = field(default_factory=set)
    held: Counter[str] = field(default_factory=Counter)  #: node -> GPUs promised there
    starting: Counter[str] = field(
        default_factory=Counter
    )  #: those of them that no measurement can show yet
    nodes: set[str] = field(default_factory=set)

    def book(self, job: Job, node: str | None, gpu_uuids: Sequence[str]) -> None:
        """A job that holds a slot, or is given one now."""
        self.slots += 1
        self.users[job.spec.user] += 1
        self.hold(node, job.spec.gpus, gpu_uuids, is_starting=job.phase is not Phase.RUNNING)

    def book_stray(self, workflow: WorkflowStatus) -> None:
        """A live workflow of no admitted job: it holds what it holds until it has ended."""
        self.slots += 1
        is_starting = workflow.phase is WorkflowPhase.PENDING
        self.hold(workflow.node, _gpus_of(workflow), workflow.gpu_uuids, is_starting)

    def hold(
        self, node: str | None, gpus: int, gpu_uuids: Sequence[str] = (), is_starting: bool = True
    ) -> None:
        """GPUs of a node, without a slot."""
        self.uuids.update(gpu_uuids)
        if node:
            self.nodes.add(node)
            self.held[node] += gpus
            self.starting[node] += gpus if is_starting else 0


def free_uuids(snapshot: NodeSnapshot, ledger: Ledger) -> tuple[str, ...]:
    """The GPUs that a pinning engine can give away."""
    return tuple(gpu.uuid for gpu in free_gpus(snapshot, ledger.uuids))


def free_count(snapshot: NodeSnapshot, ledger: Ledger, limits: Limits) -> int:
    """How many GPUs of the node can be given away.

    Where they are only counted, nobody says which one a job has got. A job that runs shows in the measurement; one that
    is still starting does not, and may get any that passes.
    """
    if limits.pins_gpus:
        return len(free_uuids(snapshot, ledger))
    unpromised = len(snapshot.gpus) - ledger.held[snapshot.node]
    measured = len(free_gpus(snapshot, ())) - ledger.starting[snapshot.node]
    return max(0, min(unpromised, measured))


def known_nodes(
    answers: Sequence[Node], dead: Mapping[str, float], ours: Sequence[str], shut: Mapping[str, str]
) -> list[Node]:
    """The nodes of this cycle: what the monitors said, but nothing of a node that an admin has declared dead.

    `dead`: node -> since when; `ours`: where jobs of ours are, one of these without a monitor is not forgotten;
    `shut`: node -> why it did not take a job that was sent there, until that job is gone.
    """
    missing = [Node(name, error="no monitor answers for it") for name in ours if name]
    found = {
        node.name: node
        for node in [*missing, *(_declared(name, at) for name, at in dead.items()), *answers]
    }
    return [
        _declared(name, dead[name])
        if name in dead
        else replace(found[name], shut=shut.get(name, ""))
        for name in sorted(found)
    ]


def _declared(name: str, at: float) -> Node:
    return Node(
        name,
        error=f"declared dead at {rfc3339(at)}; when it is back: gpuq admin node alive {name}",
        is_dead=True,
    )


def _gpus_of(workflow: WorkflowStatus) -> int:
    """What it was submitted with; 1 where it does not say."""
    submission: Mapping[str, Any] = workflow.submission or {}
    asked = str(submission.get("gpus") or "")
    return int(asked) if asked.isdecimal() else max(1, len(workflow.gpu_uuids))
