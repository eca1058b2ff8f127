"""Choose the reason that is shown for a job. Pure."""

from jobqueue.eta import in_words
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import REASONS_WRITTEN, Reason, ReasonCode


def shown_reason(
    job: Job, position: int | None, wait_s: float | None, scheduler: Reason | None
) -> Reason:
    """Return the job's own reason, or for a queued job one that tells more.

    `scheduler` is why the scheduler starts nothing, None while it works. The scheduler writes the
    reasons of the first jobs in the queue only; behind them the position (1 = next) is the reason.
    """
    if job.phase is not Phase.QUEUED:
        return job.reason
    if scheduler is not None:
        return scheduler
    if position is not None and position > REASONS_WRITTEN:
        wait = "" if wait_s is None else f"; estimated wait: {in_words(wait_s)}"
        text = f"Position {position}: {position - 1} jobs are ahead{wait}."
        return Reason(ReasonCode.WAITING_TURN, text)
    return job.reason
