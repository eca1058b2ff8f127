"""How jobs are shown: what everybody may see of one, and its whole record, each against the present outlook."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jobqueue.clock import rfc3339
from jobqueue.eta import in_words
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason
from queue_manager.forecast.scheduler_health import read_heartbeat, scheduler_trouble
from queue_manager.forecast.wait import Outlook
from queue_manager.requests import access
from queue_manager.requests.services import Services
from queue_manager.views.reason_view import shown_reason, without_the_log


@dataclass(frozen=True)
class Board:
    """The present that jobs are shown against; `now` is seconds since the epoch."""

    now: float
    outlook: Outlook
    trouble: Reason | None  #: why the scheduler starts nothing
    positions: Mapping[str, int]
    may_read: Callable[[str], bool] = lambda _user: (
        True
    )  #: whether the caller may read that user's logs

    def brief(self, job: Job) -> dict[str, Any]:
        """What all may see: user, job id, config's name, phase, reason, position, and times."""
        record = job.to_dict()
        public = ("job_id", "user", "config", "status", "submitted_at", "started_at", "finished_at")
        if not self.may_read(job.spec.user):
            job = replace(job, reason=without_the_log(job.reason))
        return {**{name: record[name] for name in public}, **self._seen_from_now(job)}

    def record(self, job: Job) -> dict[str, Any]:
        return {**job.to_dict(), **self._seen_from_now(job)}

    def _seen_from_now(self, job: Job) -> dict[str, Any]:
        position = self.positions.get(job.job_id) if job.phase is Phase.QUEUED else None
        wait_s = None if position is None else self.outlook.wait_s(position)
        return {
            "reason": shown_reason(job, position, wait_s, self.trouble).to_dict(),
            **wait_fields(position, wait_s, self.now),
            "estimated_end_at": self._end_at(job),
        }

    def _end_at(self, job: Job) -> str | None:
        left_s = self.outlook.left_s.get(job.job_id) if job.phase.holds_slot else None
        return None if left_s is None else rfc3339(self.now + left_s)


def wait_fields(position: int | None, wait_s: float | None, now: float) -> dict[str, Any]:
    """The position (1 = next) and the wait, in words, seconds and as a time; all null where nothing is queued."""
    return {
        "position": position,
        "estimated_wait": None if position is None else in_words(wait_s),
        "estimated_wait_s": None if wait_s is None else round(wait_s),
        "estimated_start_at": None if wait_s is None else rfc3339(now + wait_s),
    }


def read_board(app: Services, positions: Mapping[str, int]) -> Board:
    """The board for jobs at these `positions` (by job id)."""
    now = app.clock()
    return Board(
        now,
        app.outlook(),
        scheduler_trouble(read_heartbeat(app.store), now),
        positions,
        access.may_read,
    )
