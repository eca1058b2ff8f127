"""When queued jobs start: what runs and what waits, read once, around the arithmetic of jobqueue.eta."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobqueue import eta
from jobqueue.errors import CorruptEntry
from jobqueue.job import Job, QueueEntry
from jobqueue.reason import NO_KNOWN_END, ReasonCode
from jobqueue.store.client import Store
from queue_manager.forecast.scheduler_health import read_heartbeat, scheduler_trouble

#: Jobs ahead that count one by one; those beyond count with the average.
ONE_BY_ONE = 200

#: Reasons of the next job with which nobody can say when it starts: somebody else has the GPU, a service is away.
HELD_UP = frozenset(
    {
        ReasonCode.RESOURCES_BUSY,
        ReasonCode.MONITOR_UNAVAILABLE,
        ReasonCode.CREATE_FAILED,
        ReasonCode.TEMPLATE_INVALID,
        ReasonCode.ENGINE_UNREACHABLE,
        ReasonCode.OBJECT_REFUSED,
        ReasonCode.NAME_IN_USE,
    }
)

_ANYBODY = ("", "")


@dataclass(frozen=True)
class Outlook:
    """What is expected (s) of everything that runs and of the first queued jobs; None where nothing was learnt yet."""

    slots: int  #: those that will be free one day: not those of jobs without a known end
    left_s: Mapping[
        str, float | None
    ]  #: job id of each other admitted or running job -> what it has left
    ahead_s: Sequence[float | None]  #: the first jobs in dispatch order
    average_s: float | None
    is_stuck: bool = False  #: what holds the queue up is nothing that we know the end of

    def wait_s(self, position: int) -> float | None:
        """How long (s) until the job at `position` (1 = next) starts; None where that cannot be known."""
        if self.is_stuck:
            return None
        ahead = self.ahead_s[: position - 1]
        beyond = position - 1 - len(ahead)
        rest = [] if not beyond else [None if self.average_s is None else beyond * self.average_s]
        return eta.wait_s(list(self.left_s.values()), [*ahead, *rest], self.slots)


def read_outlook(store: Store, slots: int, now: float) -> Outlook:
    """The outlook at `now` (s since the epoch)."""
    is_stuck = scheduler_trouble(read_heartbeat(store), now) is not None or _head_is_held_up(store)
    holding = store.running()
    running = [job for job in holding if job.reason.code not in NO_KNOWN_END]
    slots -= len(holding) - len(running)
    ahead = [_pair(raw) for raw in store.queue_raw(0, ONE_BY_ONE)]
    learnt = store.durations(
        [*{(job.spec.user, job.spec.config) for job in running}, *set(ahead), _ANYBODY]
    )
    left = {
        job.job_id: _left_s(job, learnt[(job.spec.user, job.spec.config)], now) for job in running
    }
    return Outlook(
        slots, left, [learnt[pair] for pair in ahead], learnt[_ANYBODY], is_stuck or slots < 1
    )


def _head_is_held_up(store: Store) -> bool:
    return any(job.reason.code in HELD_UP for job in store.jobs(store.order(0, 1)))


def _left_s(job: Job, expected_s: float | None, now: float) -> float | None:
    return eta.remaining_s(
        expected_s, 0 if job.started_at is None else max(now - job.started_at, 0)
    )


def _pair(raw: str) -> tuple[str, str]:
    try:
        entry = QueueEntry.decode(raw)
    except CorruptEntry:  # the scheduler puts it aside; until then it counts with the average
        return _ANYBODY
    return entry.user, entry.config
