"""This module reads jobs: records, timelines, positions."""

import json
from collections.abc import Iterable, Sequence

from jobqueue import errors
from jobqueue.job import Job
from jobqueue.reason import Reason
from jobqueue.store import keys
from jobqueue.store.connection import Connection


class Records(Connection):
    """This part reads the records of jobs."""

    def job(self, job_id: str) -> Job:
        """Return the whole record; raises JobNotFound."""
        with self._translated():
            record = self._redis.hgetall(keys.job(job_id))
        if not record:
            raise errors.JobNotFound(job_id)
        return Job.from_hash(record)

    def jobs(self, job_ids: Iterable[str]) -> list[Job]:
        """Return the records of these ids in order, without their large fields.

        Unknown and unreadable ones are left out.
        """
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(keys.job(job_id), Job.LIST_FIELDS)
            rows = pipe.execute()
        records = [
            {
                name: value
                for name, value in zip(Job.LIST_FIELDS, row, strict=True)
                if value is not None
            }
            for row in rows
        ]
        return [job for record in records if record.get("job_id") and (job := _readable(record))]

    def timeline(self, job_id: str) -> list[dict[str, str]]:
        """Return the job's transitions, oldest first: at, from, to, code, message, detail."""
        with self._translated():
            lines = [json.loads(line) for line in self._redis.lrange(keys.timeline(job_id), 0, -1)]
        return [_transition(line) for line in lines]

    def position(self, job_id: str) -> int | None:
        """Return the job's position (1 = next), or None if it is not queued."""
        with self._translated():
            rank = self._redis.zrank(keys.QUEUE_ORDER, job_id)
        return None if rank is None else rank + 1

    def positions(self, job_ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those that are queued, in one call."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.zrank(keys.QUEUE_ORDER, job_id)
            ranks = pipe.execute()
        return {
            job_id: rank + 1
            for job_id, rank in zip(job_ids, ranks, strict=True)
            if rank is not None
        }


def _readable(record: dict[str, str]) -> Job | None:
    try:
        return Job.from_hash(record)
    except errors.CorruptEntry:  # the leader quarantines it (Leader.repair)
        return None


def _transition(line: dict[str, str]) -> dict[str, str]:
    """Return a line of a timeline with its fields in order; Lua does not keep one."""
    code, message = line.get("code", ""), line.get("message", "")
    reason = Reason.read(code, message, line.get("detail"))
    return {name: line.get(name, "") for name in ("at", "from", "to")} | reason.to_dict()
