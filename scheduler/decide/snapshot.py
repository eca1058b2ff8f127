"""This module defines the frozen value from which one cycle makes all its decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from jobqueue.job import Job
from jobqueue.reason import Reason
from scheduler.decide.capacity import Limits, Node
from scheduler.engines.contract import WorkflowStatus


@dataclass(frozen=True)
class CycleSnapshot:
    """A cycle decides from this state of the queue, the nodes and the engines."""

    now: float  #: seconds since the epoch
    limits: Limits
    nodes: tuple[Node, ...] = ()
    #: the jobs that hold a slot, the longest admitted first
    running: tuple[Job, ...] = ()
    #: the jobs at the head of the queue, the next one first
    heads: tuple[Job, ...] = ()
    #: live workflows that no admitted job accounts for; each occupies a slot and its GPUs
    unmanaged: tuple[WorkflowStatus, ...] = ()
    #: admitted jobs (ids) that their node cannot run at the moment
    unschedulable: frozenset[str] = frozenset()
    #: (job id, node): the job is not sent there again for a while
    cooldowns: frozenset[tuple[str, str]] = frozenset()
    #: job id -> why it is not tried at the moment: creates failed
    backoffs: Mapping[str, Reason] = field(default_factory=dict)
    #: template -> why it cannot be used
    broken_templates: Mapping[str, str] = field(default_factory=dict)
    #: running job (id) -> how many seconds it is expected to take still, if anything is known
    remaining_s: Mapping[str, float | None] = field(default_factory=dict)
    #: why the scheduler admits nothing at all; empty if it does
    halted: str = ""
