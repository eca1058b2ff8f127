"""Why a job stands where it stands, as shown: pure."""

from jobqueue.eta import in_words
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode

#: The scheduler words the reasons of this many jobs at the head of the queue.
WORDED_BY_SCHEDULER = 100
#: What these say after a colon is a line of the training's log.
_QUOTES_THE_LOG = frozenset(
    {ReasonCode.TRAINING_FAILED, ReasonCode.BAD_CONFIG, ReasonCode.GPU_BUSY}
)


def without_the_log(reason: Reason) -> Reason:
    """What everybody may see of a reason: a log is its user's."""
    if reason.code not in _QUOTES_THE_LOG or ": " not in reason.message:
        return reason
    return Reason(reason.code, reason.message.partition(": ")[0] + ".")


def shown_reason(
    job: Job, position: int | None, wait_s: float | None, trouble: Reason | None
) -> Reason:
    """The job's own reason, unless it waits and `trouble` (see heartbeat.py) or its position (1 = next) says more."""
    if job.phase is not Phase.QUEUED:
        return job.reason
    if trouble is not None:
        return trouble
    if position is not None and position > WORDED_BY_SCHEDULER:
        about = "" if wait_s is None else f", for about {in_words(wait_s)}"
        return Reason(
            ReasonCode.WAITING_TURN, f"Position {position}; {position - 1} jobs are ahead{about}."
        )
    return job.reason
