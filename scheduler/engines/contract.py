"""What the loop asks of an engine, whichever it is. `local.py` is one; a second engine is one more file.

EngineError
├── WorkflowExists      an object of this name is there already
├── WorkflowRejected    the engine refuses this workflow for good: the job's fault
├── WorkflowNotMade     it was not made, for certain; the next cycle may try again
├── EngineForbidden     the engine refuses the scheduler itself: an admin has to act, never the job's fault
├── WorkflowRefused     a look at this one workflow, its stop or its deletion is refused; the others go on
└── EngineUnavailable   no answer; what was asked may have happened or not
"""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class WorkflowPhase(StrEnum):
    PENDING = "pending"  #: made, no container has started
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class EndedBy(StrEnum):
    """Who ended a workflow's container, where it did not end by itself."""

    ITSELF = "itself"
    STOP = "stop"  #: asked for through Engine.stop
    TIME_LIMIT = "time_limit"
    SHUTDOWN = "shutdown"  #: the engine itself was shut down in an orderly way
    EVICTION = "eviction"  #: taken away: node drained, pod deleted, runner killed


@dataclass(frozen=True)
class WorkflowStatus:
    """One workflow as the engine sees it now. Times are seconds since the epoch."""

    name: str
    uid: str
    job_id: str
    attempt: int
    phase: WorkflowPhase
    node: str | None = None
    gpu_uuids: tuple[str, ...] = ()
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    ended_by: EndedBy = EndedBy.ITSELF
    message: str = ""  #: the engine's own word on it
    log_tail: tuple[str, ...] = ()
    #: live, but no node can take it for want of GPUs: it may be withdrawn and made elsewhere
    short_of_gpus: bool = False
    #: the same for another reason than GPUs: cordoned, not ready, short of memory, …
    unschedulable: bool = False
    #: live, and it waits for a person: suspended, or no controller looks at it; it is never the job's fault
    unattended: bool = False
    #: live, and its node does not answer: nobody can say whether its container runs
    node_lost: bool = False
    #: what was submitted, as `render` wrote it beside: from this a lost Redis is rebuilt
    submission: Mapping[str, Any] | None = None

    @property
    def is_turned_away(self) -> bool:
        """Whether its node does not take it now."""
        return self.short_of_gpus or self.unschedulable

    @property
    def is_live(self) -> bool:
        """Whether anything of it may run, now or later."""
        return self.phase in (WorkflowPhase.PENDING, WorkflowPhase.RUNNING)


@dataclass(frozen=True)
class Placement:
    """Where a workflow shall run."""

    node: str
    gpu_uuids: tuple[str, ...] = ()


class Engine(Protocol):
    """Runs workflows. Every call raises EngineUnavailable where the engine does not answer."""

    #: Whether a container gets the `gpu_uuids` of its Placement; else the engine chooses, and GPUs are only counted.
    pins_gpus: bool

    def create(self, workflow: dict[str, Any], config_text: str, placement: Placement) -> str:
        """Make it and return its uid; raises every EngineError above."""

    def get(self, name: str) -> WorkflowStatus | None:
        """One workflow by name; None only where the engine says for certain that there is none."""

    def workflows(
        self, answering: Collection[str] = (), beat: Callable[[], None] = lambda: None
    ) -> list[WorkflowStatus]:
        """All workflows that gpuq ever made and has not deleted; a node that is known to answer is not lost.

        `beat` is called between the steps of a look that takes long; what it raises ends the look.
        """

    def stop(self, workflow: WorkflowStatus) -> None:
        """Ask its container to end (SIGTERM, after a grace SIGKILL); returns at once, idempotent."""

    def delete(self, workflow: WorkflowStatus) -> None:
        """Delete it with all that belongs to it (a tombstone, or one whose container never started).

        One of another uid is left alone. It is gone only when `get` says so.
        """

    def clear(self, name: str, job_id: str) -> None:
        """Remove what a create of this job left behind that made no workflow `name`; a workflow is left alone."""

    def config_text(self, workflow: WorkflowStatus) -> str | None:
        """The config it was made with; None where it is gone."""

    def watch(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        """Call `on_change` soon after a workflow started or ended, until `stopping`; `workflows` is the truth."""


class EngineError(Exception):
    """Base; the text is one sentence for a person. `retry_after_s`: when the engine itself says to come again."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkflowExists(EngineError):
    pass


class WorkflowRejected(EngineError):
    pass


class WorkflowNotMade(EngineError):
    pass


class EngineForbidden(EngineError):
    pass


class WorkflowRefused(EngineError):
    pass


class EngineUnavailable(EngineError):
    pass
