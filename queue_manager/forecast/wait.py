"""Estimate when queued jobs start: read the state once, then use the arithmetic of jobqueue.eta."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobqueue import eta
from jobqueue.errors import CorruptEntry
from jobqueue.job import Job, QueueEntry
from jobqueue.reason import NO_KNOWN_END, ReasonCode
from jobqueue.store.client import Store
from queue_manager.forecast.scheduler_health import read_heartbeat, scheduler_problem

#: This many jobs ahead count with their own expected duration; those beyond, with the average.
ONE_BY_ONE = 200

#: While the first job waits for one of these, nobody can say when it starts.
HELD_UP = frozenset(
    {
        ReasonCode.RESOURCES_BUSY,
        ReasonCode.MONITOR_UNAVAILABLE,
        ReasonCode.TEMPLATE_INVALID,
        ReasonCode.CREATE_FAILED,
        ReasonCode.ENGINE_UNREACHABLE,
        ReasonCode.CONTROLLER_DOWN,
        ReasonCode.OBJECT_REFUSED,
        ReasonCode.NAME_IN_USE,
    }
)

_ANYBODY = ("", "")


@dataclass(frozen=True)
class Outlook:
    """Expected times (s) of all running jobs and of the first queued ones; None means unknown."""

    slots: int  #: slots in use by jobs whose end is unknown do not count
    left_s: Mapping[str, float | None]  #: id of each other admitted or running job -> time left
    ahead_s: Sequence[float | None]  #: durations of the first jobs, in dispatch order
    average_s: float | None
    is_stuck: bool = False  #: what holds the queue up has no known end

    def wait_s(self, position: int) -> float | None:
        """Return how long (s) until the job at `position` (1 = next) starts; None if unknown."""
        if self.is_stuck:
            return None
        ahead = self.ahead_s[: position - 1]
        beyond = position - 1 - len(ahead)
        rest = [] if not beyond else [None if self.average_s is None else beyond * self.average_s]
        return eta.wait_s(list(self.left_s.values()), [*ahead, *rest], self.slots)


def read_outlook(store: Store, slots: int, now: float) -> Outlook:
    """Return the outlook at `now` (epoch seconds)."""
    is_stuck = scheduler_problem(read_heartbeat(store), now) is not None or _head_is_held_up(store)
    active = store.running()
    ending = [job for job in active if job.reason.code not in NO_KNOWN_END]
    slots -= len(active) - len(ending)
    ahead = [_pair(raw) for raw in store.queue_raw(0, ONE_BY_ONE)]
    pairs = {(job.spec.user, job.spec.config) for job in ending}
    learnt = store.durations([*pairs, *set(ahead), _ANYBODY])
    left = {
        job.job_id: _left_s(job, learnt[(job.spec.user, job.spec.config)], now) for job in ending
    }
    ahead_s = [learnt[pair] for pair in ahead]
    return Outlook(slots, left, ahead_s, learnt[_ANYBODY], is_stuck or slots < 1)


def _head_is_held_up(store: Store) -> bool:
    return any(job.reason.code in HELD_UP for job in store.jobs(store.order(0, 1)))


def _left_s(job: Job, expected_s: float | None, now: float) -> float | None:
    run_s = 0 if job.started_at is None else max(now - job.started_at, 0)
    return eta.remaining_s(expected_s, run_s)


def _pair(raw: str) -> tuple[str, str]:
    try:
        entry = QueueEntry.decode(raw)
    except CorruptEntry:  # the scheduler will quarantine it; until then it counts as average
        return _ANYBODY
    return entry.user, entry.config
