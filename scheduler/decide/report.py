"""This module describes what one cycle did, and decides how long to pause after it."""

from dataclasses import dataclass

from jobqueue.job import Job
from jobqueue.reason import Reason

#: While something waits and a job has just ended, cycles follow each other this quickly (s).
HURRY_PAUSE_S = 0.25
#: How long after a job's end that lasts (s): a free GPU does not wait for a poll.
HURRY_S = 10.0


@dataclass(frozen=True)
class CycleReport:
    """A report has the result of one cycle. A standby's has only `is_leader`."""

    is_leader: bool
    queued: int = 0
    running: int = 0  #: admitted or running jobs
    head: tuple[Job, Reason] | None = None  #: the next job, and why it waits
    has_free_slot: bool = False  #: fewer jobs run than MAX_RUNNING_JOBS, and nothing is halted
    has_just_ended: bool = False  #: a job has ended within HURRY_S

    @property
    def summary(self) -> str:
        """Return one sentence for the log and the heartbeat."""
        if not self.is_leader:
            return "Standing by; another scheduler is the leader."
        counts = f"{self.queued} queued, {self.running} admitted or running"
        if self.head is None:
            return counts
        job, reason = self.head
        return f"{counts}; next is {job.job_id}: {reason.message}"

    @property
    def news(self) -> tuple[object, ...]:
        """Return the values that are logged again when one of them has changed."""
        head = None if self.head is None else (self.head[0].job_id, self.head[1].code)
        return (self.is_leader, self.queued, self.running, head)


def next_pause(report: CycleReport, poll_interval_s: float) -> float:
    """Return how long to pause after a cycle, in seconds."""
    may_start = report.queued > 0 and report.has_free_slot
    hurry = report.is_leader and report.has_just_ended and may_start
    return HURRY_PAUSE_S if hurry else poll_interval_s
