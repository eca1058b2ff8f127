"""Show jobs: the brief form that everybody may see, and the whole record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobqueue.clock import rfc3339
from jobqueue.eta import in_words
from jobqueue.job import PUBLIC, Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason
from queue_manager.forecast.scheduler_health import read_heartbeat, scheduler_reason
from queue_manager.forecast.wait import Outlook
from queue_manager.requests import access
from queue_manager.requests.services import Services
from queue_manager.views.reason_view import shown_reason


@dataclass(frozen=True)
class JobView:
    """Everything besides a job's record that its answer depends on; `now` is in epoch seconds."""

    now: float
    outlook: Outlook
    scheduler: Reason | None  #: why the scheduler starts nothing; None while it works
    positions: Mapping[str, int]  #: job id -> place in the queue (1 = next)
    may_read_logs: Callable[[str], bool]  #: whether the caller may read this user's logs

    def brief(self, job: Job) -> dict[str, Any]:
        """Return what everybody may see: user, job id, config name, phase, reason and times."""
        record = job.to_dict()
        return {**{name: record[name] for name in PUBLIC}, **self._now_fields(job)}

    def record(self, job: Job) -> dict[str, Any]:
        """Return the whole record, for the job's user and admins."""
        return {**job.to_dict(), **self._now_fields(job)}

    def _now_fields(self, job: Job) -> dict[str, Any]:
        position = self.positions.get(job.job_id) if job.phase is Phase.QUEUED else None
        wait_s = None if position is None else self.outlook.wait_s(position)
        reason = shown_reason(job, position, wait_s, self.scheduler)
        return {
            "reason": self._readable(reason, job.spec.user).to_dict(),
            **wait_fields(position, wait_s, self.now),
            "estimated_end_at": self._end_at(job),
        }

    def _readable(self, reason: Reason, user: str) -> Reason:
        """Remove the quoted log line, the only private part, unless the caller may read the log."""
        return reason if self.may_read_logs(user) else reason.without_detail()

    def _end_at(self, job: Job) -> str | None:
        left_s = self.outlook.left_s.get(job.job_id) if job.phase.holds_slot else None
        return None if left_s is None else rfc3339(self.now + left_s)


def wait_fields(position: int | None, wait_s: float | None, now: float) -> dict[str, Any]:
    """Return the position (1 = next) and the wait in words, in seconds and as a time.

    All of them are null for a job that is not queued.
    """
    return {
        "position": position,
        "estimated_wait": None if position is None else in_words(wait_s),
        "estimated_wait_s": None if wait_s is None else round(wait_s),
        "estimated_start_at": None if wait_s is None else rfc3339(now + wait_s),
    }


def read_job_view(app: Services, positions: Mapping[str, int]) -> JobView:
    """Return the view for the present request, of jobs at these `positions` (by job id)."""
    now = app.clock()
    scheduler = scheduler_reason(read_heartbeat(app.store), now)
    return JobView(now, app.outlook(), scheduler, positions, access.may_read)
