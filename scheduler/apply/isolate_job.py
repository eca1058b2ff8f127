"""This module keeps the problems of one job from affecting other jobs.

A job whose handling raises an unexpected error three times fails with `internal_error`; a job whose
workflow the engine refuses to show or to change gets that as its reason.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from jobqueue.errors import StaleLeader, StoreUnavailable
from jobqueue.failpoints import FailpointRaised
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader, Outcome
from scheduler.context import Context
from scheduler.engines.contract import EngineError, WorkflowRefused

log = get_logger(__name__)

MAX_BREAKS = 3
REFUSED_REMEDY = (
    "Inspect it with kubectl get workflow, and the policy that refuses it; other jobs are not "
    "affected."
)


@contextmanager
def isolated(context: Context, leader: Leader, job: Job) -> Iterator[None]:
    """Wrap whatever is done for one job: unexpected errors count against the job and go no further.

    Errors of Redis, of the lead or of the whole engine are raised.
    """
    try:
        yield
    except WorkflowRefused as error:
        _report_refused(context, leader, job, error)
    except (StoreUnavailable, StaleLeader, EngineError, FailpointRaised):
        raise
    except Exception as error:
        log.exception("Handling a job raised an unexpected error.", job_id=job.job_id)
        present = leader.store.job(job.job_id)
        if present.phase is Phase.ADMITTED and present.workflow_uid is None:
            return  # the next reconciliation asks the engine, and counts the break with the requeue
        if leader.count_break(job.job_id) >= MAX_BREAKS:
            fail_with_internal_error(context, leader, job, f"{type(error).__name__}: {error}")


def fail_with_internal_error(context: Context, leader: Leader, job: Job, what: str) -> None:
    """Fail a job for good, and send an alert."""
    text = (
        f"Failed after {MAX_BREAKS} internal scheduler errors on this job ({what}). Please report "
        "the bug, then retry the job."
    )
    outcome = Outcome(Phase.FAILED, Reason(ReasonCode.INTERNAL_ERROR, text))
    leader.finish(job.job_id, context.now(), outcome)
    context.alerts.send(f"Job {job.job_id} failed with internal_error.", text)


def _report_refused(context: Context, leader: Leader, job: Job, error: WorkflowRefused) -> None:
    """Set the job's reason; the call is repeated in the next cycle, and the job keeps its slot."""
    present = leader.store.job(job.job_id)
    if not present.phase.is_finished:
        leader.set_reasons([(present, Reason(ReasonCode.OBJECT_REFUSED, str(error)))])
    context.alerts.once(f"{job.job_id}: {error}", REFUSED_REMEDY)
