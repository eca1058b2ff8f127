"""What is one job's alone stays with that job: one that breaks the scheduler three times is put aside, and one whose
workflow the engine refuses to show or to change is told so.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobqueue.errors import StaleLeader, StoreUnavailable
from jobqueue.failpoints import FailpointRaised
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader, Outcome
from scheduler.engines.contract import EngineError, WorkflowRefused
from scheduler.health.alerts import Alerts

log = get_logger(__name__)

MAX_BREAKS = 3
REMEDY = (
    "Look at it with kubectl get workflow, and at the policy that refuses it; the other jobs go on."
)


@contextmanager
def put_aside_if_poison(
    leader: Leader, job: Job, clock: Callable[[], float], alerts: Alerts
) -> Iterator[None]:
    """Around whatever is done for one job: what is the job's fault is counted, what is nobody's goes on upwards."""
    try:
        yield
    except WorkflowRefused as error:
        say_refused(leader, leader.store.job(job.job_id), error, alerts)
    except (StoreUnavailable, StaleLeader, EngineError, FailpointRaised):
        raise
    except Exception as error:
        log.exception("Handling this job broke the scheduler's cycle.", job_id=job.job_id)
        present = leader.store.job(job.job_id)
        if present.phase is Phase.ADMITTED and present.workflow_uid is None:
            return  # the next reconciliation asks the engine by name, and counts the break with the requeue
        if leader.count_break(job.job_id) >= MAX_BREAKS:
            put_aside(leader, job, clock(), f"{type(error).__name__}: {error}", alerts)


def say_refused(leader: Leader, job: Job, error: WorkflowRefused, alerts: Alerts) -> None:
    """Say it where the job stands; it is tried again in the next cycle, and keeps what it holds until then."""
    if not job.phase.is_finished:
        leader.set_reasons([(job, Reason(ReasonCode.OBJECT_REFUSED, str(error)))])
    alerts.once(f"{job.job_id}: {error}", REMEDY)


def put_aside(leader: Leader, job: Job, at: float, what: str, alerts: Alerts) -> None:
    """Fail the job for good, with an alert."""
    text = f"Handling this job broke the scheduler {MAX_BREAKS} times ({what}); it was put aside. Report it, then retry."
    reason = Reason(ReasonCode.INTERNAL_ERROR, text)
    leader.finish(job.job_id, at, Outcome(Phase.FAILED, reason))
    alerts.send(f"The job {job.job_id} was put aside.", text)
