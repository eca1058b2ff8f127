"""This module has the writes of the API: submit, cancel, retry, restore from a backup."""

import json
from dataclasses import dataclass

from jobqueue.clock import id_stamp, rfc3339, seed_timestamp
from jobqueue.job import Job, JobSpec, QueueEntry
from jobqueue.phase import Phase
from jobqueue.store import keys
from jobqueue.store.connection import Connection

#: The place in an entry where enqueue.lua inserts the job id, which it alone can make unique.
_ID_PLACEHOLDER = "\x00"
_ID_PLACEHOLDER_IN_JSON = json.dumps(_ID_PLACEHOLDER)[1:-1]


@dataclass(frozen=True)
class Caps:
    """How many jobs may be queued: of one user, and in total."""

    per_user: int = 100
    total: int = 10_000


@dataclass(frozen=True)
class Enqueued:
    """The job of a submission; `existing` if its Idempotency-Key was used before."""

    job_id: str
    position: int | None
    existing: bool


class Submissions(Connection):
    """This part writes jobs on behalf of users."""

    def enqueue(
        self, spec: JobSpec, at: float, caps: Caps, idempotency_key: str = "", digest: str = ""
    ) -> Enqueued:
        """Put a job at the back of the queue. Raises QueueFull, IdempotencyConflict."""
        entry = QueueEntry(
            spec.user, spec.config, spec.workdir, seed_timestamp(at), _ID_PLACEHOLDER
        ).encode()
        before, _, after = entry.rpartition(_ID_PLACEHOLDER_IN_JSON)  # the job id comes last
        fields = [item for pair in spec.to_hash().items() for item in pair]
        answer = self.run(
            "enqueue",
            spec.user,
            f"{spec.user}_{id_stamp(at)}",
            before,
            after,
            rfc3339(at),
            at,
            caps.per_user,
            caps.total,
            keys.idempotency(spec.user, idempotency_key) if idempotency_key else "",
            digest,
            keys.IDEMPOTENCY_TTL_S,
            "Just submitted; the scheduler considers it within seconds.",
            *fields,
        )
        kind, job_id, position = answer
        return Enqueued(job_id, int(position) or None, existing=kind == "existing")

    def cancel(self, job_id: str, at: float) -> Phase:
        """Cancel a queued job, or request the end of an admitted or running one.

        Returns the phase afterwards. Idempotent.
        """
        phase = self.run(
            "cancel",
            job_id,
            rfc3339(at),
            at,
            "Cancelled by its user before it started.",
            "Cancellation requested; the training is being stopped.",
        )
        return Phase(phase)

    def retry(self, job_id: str, at: float, caps: Caps) -> int:
        """Queue a failed or cancelled job again as its next attempt; return the position.

        Raises InvalidTransition, QueueFull.
        """
        message = "Queued again; it resumes from its last checkpoint."
        return int(self.run("retry", job_id, rfc3339(at), caps.per_user, caps.total, message))

    def restore_queued(self, job: Job, at: float) -> bool:
        """Put a queued job of a backup at the back of the queue; no cap applies.

        Returns False if the job is known already.
        """
        message = "Restored from a backup; the scheduler considers it within seconds."
        head = (
            job.job_id,
            job.spec.user,
            rfc3339(at),
            job.submitted_at,
            job.entry,
            job.attempt,
            message,
        )
        return bool(
            self.run(
                "restore_queued", *head, *(word for pair in job.to_hash().items() for word in pair)
            )
        )
