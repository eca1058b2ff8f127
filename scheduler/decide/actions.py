"""This module defines the actions that `next_actions` chooses and the reconciler carries out."""

from dataclasses import dataclass

from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason
from scheduler.engines.contract import WorkflowStatus

NO_RESULT = Result()


@dataclass(frozen=True)
class RecordWorkflow:
    """The workflow belongs to the job, but its uid is not in the record yet."""

    workflow: WorkflowStatus


@dataclass(frozen=True)
class MarkRunning:
    """The job's container was seen running; `at` is when it started, if that is known."""

    at: float | None
    message: str


@dataclass(frozen=True)
class Explain:
    """The phase stays; the reason changes."""

    reason: Reason


@dataclass(frozen=True)
class Stop:
    """Ask the workflow's container to end."""

    workflow: WorkflowStatus


@dataclass(frozen=True)
class Delete:
    """Delete the workflow of a withdrawal that was interrupted."""

    workflow: WorkflowStatus


@dataclass(frozen=True)
class ExtendStart:
    """Restart the start deadline: what delayed the job was not its fault, and is over."""


@dataclass(frozen=True)
class Requeue:
    """Put the job back to the front of the queue.

    `attempt`: a container may have started; `counts`: towards the requeue limit; `breaks`: towards
    `internal_error`; `cool_down`: do not send the job to its node again for a while.
    """

    reason: Reason
    attempt: bool = True
    counts: bool = False
    breaks: bool = False
    cool_down: bool = False


@dataclass(frozen=True)
class Finish:
    """Move the job into a final phase; `run_time_s` is None if the run teaches nothing."""

    phase: Phase
    reason: Reason
    result: Result = NO_RESULT
    at: float | None = None
    run_time_s: float | None = None


Action = RecordWorkflow | MarkRunning | Explain | Stop | Delete | ExtendStart | Requeue | Finish
