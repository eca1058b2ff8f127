"""This module reads the queue and `running_jobs`."""

from jobqueue import errors
from jobqueue.job import Job, QueueEntry
from jobqueue.store import keys
from jobqueue.store.parts.records import Records


class Queue(Records):
    """This part reads the queued jobs and the jobs that hold a slot."""

    def queue_length(self) -> int:
        with self._translated():
            return int(self._redis.llen(keys.JOB_QUEUE))

    def queue_raw(self, start: int, count: int) -> list[str]:
        """Return `count` raw entries in dispatch order from `start` (0 = next)."""
        with self._translated():
            entries = self._redis.lrange(keys.JOB_QUEUE, -(start + count), -(start + 1))
        return list(reversed(entries))

    def order(self, start: int, count: int) -> list[str]:
        """Return job ids in dispatch order from `start` (0 = next)."""
        with self._translated():
            return list(self._redis.zrange(keys.QUEUE_ORDER, start, start + count - 1))

    def order_length(self) -> int:
        with self._translated():
            return int(self._redis.zcard(keys.QUEUE_ORDER))

    def user_queue(self, user: str, count: int) -> list[str]:
        """Return the user's next `count` queued job ids in dispatch order."""
        with self._translated():
            return list(self._redis.zrange(keys.user_queue(user), 0, count - 1))

    def running_raw(self) -> dict[str, str]:
        """Return `running_jobs` as stored: slot -> raw entry."""
        with self._translated():
            return dict(self._redis.hgetall(keys.RUNNING_JOBS))

    def running(self) -> list[Job]:
        """Return the admitted and running jobs, the longest admitted first.

        Unreadable slots are left out; `Leader.repair` repairs them.
        """
        ids = []
        for raw in self.running_raw().values():
            try:
                ids.append(QueueEntry.decode(raw).job_id)
            except errors.CorruptEntry:
                continue
        return sorted(self.jobs(ids), key=lambda job: (job.admitted_at or 0, job.job_id))
