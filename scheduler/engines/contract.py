"""This module defines the contract of an engine, which `argo/` and `local/` fulfil.

EngineError
├── WorkflowExists      an object of this name exists already
├── WorkflowRejected    the engine refuses this workflow for good: the job's fault
├── WorkflowNotMade     it was certainly not created; the next cycle may try again
├── EngineForbidden     the engine refuses the scheduler itself: an admin has to act
├── WorkflowRefused     a call on this one workflow is refused; calls on others work
└── EngineUnavailable   no answer; the call may have taken effect or not
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class WorkflowPhase(StrEnum):
    PENDING = "pending"  #: created, no container has started
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class EndedBy(StrEnum):
    """A workflow's container was ended by one of these."""

    ITSELF = "itself"
    STOP = "stop"  #: requested through Engine.stop, or by a person
    TIME_LIMIT = "time_limit"
    SHUTDOWN = "shutdown"  #: the engine itself was shut down in an orderly way
    EVICTION = "eviction"  #: removed: node drained, pod deleted, runner killed


class Obstacle(StrEnum):
    """An obstacle keeps a live workflow from starting, or hides its state.

    It is never the job's fault.
    """

    NONE = ""
    NO_GPU = "no_gpu"  #: its node has no free GPU; the workflow may be withdrawn
    UNSCHEDULABLE = "unschedulable"  #: its node does not accept it; it may be withdrawn
    UNATTENDED = "unattended"  #: suspended, or no controller processes it: a person has to act
    NODE_LOST = "node_lost"  #: its node does not respond: it is unknown whether it runs


@dataclass(frozen=True)
class WorkflowStatus:
    """An engine reports one workflow like this. Times are seconds since the epoch."""

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
    message: str = ""  #: what the engine reports about it
    log_tail: tuple[str, ...] = ()
    obstacle: Obstacle = Obstacle.NONE
    #: the submission, as `render` wrote it beside: from it a lost Redis is rebuilt
    submission: Mapping[str, Any] | None = None
    engine: str = ""  #: the engine's name

    @property
    def can_move(self) -> bool:
        """Return whether it may be withdrawn and start elsewhere: its node cannot start it."""
        return self.obstacle in (Obstacle.NO_GPU, Obstacle.UNSCHEDULABLE)

    @property
    def is_live(self) -> bool:
        """Return whether anything of it may run, now or later."""
        return self.phase in (WorkflowPhase.PENDING, WorkflowPhase.RUNNING)


@dataclass(frozen=True)
class Placement:
    """A placement says where a workflow is to run."""

    node: str
    gpu_uuids: tuple[str, ...] = ()


def _no_op() -> None:
    """Do nothing."""


class Engine(ABC):
    """An engine runs workflows; every call raises EngineUnavailable if it does not answer."""

    #: What job records and settings call it.
    name: str
    #: Whether a container gets the `gpu_uuids` of its Placement; else the engine chooses, and GPUs
    #: are only counted.
    pins_gpus: bool
    #: Called between the steps of a long call; what it raises ends the call.
    keep_alive: Callable[[], None] = staticmethod(_no_op)

    @abstractmethod
    def create(self, workflow: dict[str, Any], config_text: str, placement: Placement) -> str:
        """Create a workflow and return its uid; raises every EngineError above."""

    @abstractmethod
    def get(self, name: str) -> WorkflowStatus | None:
        """Return a workflow by name; None only if the engine is certain that there is none."""

    @abstractmethod
    def workflows(self) -> list[WorkflowStatus]:
        """Return all workflows that gpuq ever created and has not deleted."""

    @abstractmethod
    def stop(self, workflow: WorkflowStatus) -> None:
        """Ask its container to end (SIGTERM, after a grace period SIGKILL); returns at once.

        Idempotent.
        """

    @abstractmethod
    def delete(self, workflow: WorkflowStatus) -> None:
        """Delete it with all that belongs to it: a finished one, or one that never started.

        One of the same name with another uid is left alone. It is gone only when `get` says so.
        """

    @abstractmethod
    def config_text(self, workflow: WorkflowStatus) -> str | None:
        """Return the config that it was created with; None if that is gone."""

    @abstractmethod
    def watch(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        """Call `on_change` soon after a workflow started or ended, until `stopping` is set.

        It is only a hint: `workflows` is the truth.
        """

    def clear(self, name: str, job_id: str) -> None:  # noqa: B027 - it may be empty
        """Remove the remains of a create of this job that did not make the workflow `name`."""

    def nodes_answering(self, nodes: Collection[str]) -> None:  # noqa: B027 - only a hint
        """Take note of the nodes whose monitors answered: they are not lost."""


class EngineError(Exception):
    """All errors of engines are of this class; the text is one sentence.

    `retry_after_s` is the pause that the engine asked for, if it did.
    """

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
