"""What `reconcile.decide` decides and the reconciler makes so: one class for each thing to do about a job."""

from dataclasses import dataclass

from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason
from scheduler.engines.contract import WorkflowStatus

NO_RESULT = Result()


@dataclass(frozen=True)
class RecordWorkflow:
    """The workflow is ours, but its uid stands in no record yet."""

    workflow: WorkflowStatus


@dataclass(frozen=True)
class MarkRunning:
    at: float | None
    message: str


@dataclass(frozen=True)
class Explain:
    """The phase stays; say why."""

    reason: Reason


@dataclass(frozen=True)
class Stop:
    workflow: WorkflowStatus


@dataclass(frozen=True)
class Delete:
    """What is left to do of a withdrawal."""

    workflow: WorkflowStatus


@dataclass(frozen=True)
class ExtendStart:
    """What held it up was not its fault and is over: the start deadline counts from now."""


@dataclass(frozen=True)
class Requeue:
    reason: Reason
    attempt: bool = True
    counts: bool = False
    breaks: bool = False
    avoid_node: bool = False


@dataclass(frozen=True)
class Finish:
    phase: Phase
    reason: Reason
    result: Result = NO_RESULT
    at: float | None = None
    run_time_s: float | None = None


Action = RecordWorkflow | MarkRunning | Explain | Stop | Delete | ExtendStart | Requeue | Finish
