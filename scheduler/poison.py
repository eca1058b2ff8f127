"""A job that breaks the scheduler three times is put aside, so that it cannot block the head of the queue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobqueue.errors import StaleLeader, StoreUnavailable
from jobqueue.failpoints import FailpointRaised
from jobqueue.job import Job, Result
from jobqueue.leader import Leader
from jobqueue.log import get_logger
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.alerts import Alerts
from scheduler.engine import EngineError

log = get_logger(__name__)

MAX_BREAKS = 3


@contextmanager
def put_aside_if_poison(leader: Leader, job: Job, clock: Callable[[], float], alerts: Alerts) -> Iterator[None]:
    """Around whatever is done for one job: what is the job's fault is counted, what is not goes on upwards."""
    try:
        yield
    except (StoreUnavailable, StaleLeader, EngineError, FailpointRaised):
        raise
    except Exception as error:
        log.exception("Handling this job broke the scheduler's cycle.", job_id=job.job_id)
        present = leader.store.job(job.job_id)
        if present.phase is Phase.ADMITTED and present.workflow_uid is None:
            return  # the next reconciliation asks the engine by name, and counts the break with the requeue
        if leader.count_break(job.job_id) >= MAX_BREAKS:
            put_aside(leader, job, clock(), f"{type(error).__name__}: {error}", alerts)


def put_aside(leader: Leader, job: Job, at: float, what: str, alerts: Alerts) -> None:
    """Fail the job for good, with an alert."""
    text = (
        f"Handling this job broke the scheduler {MAX_BREAKS} times ({what}); it was put aside. Report it, then retry."
    )
    leader.finish(job.job_id, Phase.FAILED, at, Reason(ReasonCode.POISON, text), Result())
    alerts.send(f"The job {job.job_id} was put aside.", text)
