"""This module reads the history: users' jobs, finished jobs, run times, events."""

from collections.abc import Sequence
from typing import Any

from jobqueue.phase import Phase
from jobqueue.store import keys
from jobqueue.store.connection import MAX_BLOCK_S, Connection


class History(Connection):
    """This part reads the history of all jobs."""

    def user_jobs(self, user: str, start: int, count: int) -> list[str]:
        """Return the user's job ids from `start`, the newest submission first."""
        with self._translated():
            return list(self._redis.zrevrange(keys.user_jobs(user), start, start + count - 1))

    def finished(self, start: int, count: int) -> list[str]:
        """Return finished job ids from `start`, the newest first."""
        with self._translated():
            return list(self._redis.zrevrange(keys.FINISHED_JOBS, start, start + count - 1))

    def finished_length(self) -> int:
        with self._translated():
            return int(self._redis.zcard(keys.FINISHED_JOBS))

    def finished_counts(self) -> dict[Phase, int]:
        """Return how many jobs ever ended in each phase."""
        with self._translated():
            counts = self._redis.hgetall(keys.FINISHED_COUNTS)
        return {phase: int(counts.get(phase.value, 0)) for phase in Phase if phase.is_finished}

    def durations(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float | None]:
        """Return the mean run time (s) of each (user, config): the most specific one, or None."""
        names = sorted({key for pair in pairs for key in keys.durations(*pair)} | {keys.DURATIONS})
        means = {
            key: float(mean) if mean else None
            for key, mean in zip(names, self._means(names), strict=True)
        }
        return {
            pair: next(
                (means[key] for key in keys.durations(*pair) if means[key] is not None), None
            )
            for pair in pairs
        }

    def _means(self, names: Sequence[str]) -> list[str]:
        """Compute the means in Redis: the head of the queue may need hundreds of lists."""
        return list(self.run("mean_durations", *names))

    def wait_events(self, last_id: str, block_s: float) -> tuple[str, list[dict[str, str]]]:
        """Return the transitions after `last_id`, and the id to continue from.

        Waits up to `block_s` (at most MAX_BLOCK_S) for the first one.
        """
        with self._translated():
            block = int(min(block_s, MAX_BLOCK_S) * 1000)
            answer = self._blocking.xread({keys.EVENTS: last_id}, count=100, block=block)
        streams = (
            list(answer.values())
            if isinstance(answer, dict)
            else [rows for _, rows in answer or []]
        )
        rows = [row for batch in streams for row in _flat(batch)]
        return (rows[-1][0] if rows else last_id), [fields for _, fields in rows]

    def last_event_id(self) -> str:
        with self._translated():
            rows = self._redis.xrevrange(keys.EVENTS, count=1)
        return rows[0][0] if rows else "0-0"


def _flat(batch: Any) -> list[Any]:
    """Return the rows of a stream; RESP3 wraps them in one more list than RESP2."""
    return (
        batch[0]
        if batch and isinstance(batch[0], list) and batch[0] and isinstance(batch[0][0], tuple)
        else batch
    )
