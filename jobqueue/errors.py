"""This module defines the errors that the services share.

GpuqError
├── StoreUnavailable       Redis does not answer or refuses to serve: nothing was changed, try again
├── JobNotFound            no record under that id
├── InvalidTransition      the job's phase does not allow it
├── QueueFull              a cap on queued jobs is reached
├── IdempotencyConflict    the same Idempotency-Key with another body
├── TooManyTokens          the user already has the maximum number of valid access tokens
├── StaleLeader            another scheduler is the leader; this one's write was refused
├── NoFreeSlot             MAX_RUNNING_JOBS or MAX_RUNNING_PER_USER is reached
├── CorruptEntry           a stored entry cannot be read
└── CorruptData            Redis holds data that a script of ours cannot process
"""


class GpuqError(Exception):
    """All of gpuq's own errors are of this class; the text is one sentence for people."""


class StoreUnavailable(GpuqError):
    """Redis does not serve; the text says why and how to fix it."""


class JobNotFound(GpuqError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}; GET /jobs?user=<user> lists a user's jobs.")
        self.job_id = job_id


class InvalidTransition(GpuqError):
    """The job's phase does not allow the requested change to the phase `to`."""

    def __init__(self, job_id: str, phase: str, to: str) -> None:
        retry = f"Only a failed or cancelled job can be retried; {job_id} is {phase}."
        super().__init__(
            retry if to == "queued" else f"Job {job_id} is {phase}, so it cannot become {to}."
        )
        self.job_id = job_id
        self.phase = phase
        self.to = to


class QueueFull(GpuqError):
    """A limit on queued jobs is reached; `scope` is `user` or `total`."""

    def __init__(self, scope: str, limit: int) -> None:
        whose = "This user has" if scope == "user" else "The queue holds"
        super().__init__(
            f"{whose} {limit} queued jobs, which is the limit; submit again when some have started."
        )
        self.scope = scope
        self.limit = limit


class IdempotencyConflict(GpuqError):
    """The key was used before, for `job_id`, with another body."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"This Idempotency-Key was used for job {job_id} with another body; "
            "use a new key for a new job."
        )
        self.job_id = job_id


class TooManyTokens(GpuqError):
    """The user already has `limit` valid tokens."""

    def __init__(self, user: str, limit: int) -> None:
        super().__init__(
            f"{user} has {limit} valid tokens, which is the limit; list them with gpuq admin token "
            "list, and revoke one with gpuq admin token revoke ID."
        )
        self.user = user
        self.limit = limit


class StaleLeader(GpuqError):
    """Another scheduler has become the leader; the write was refused."""


class NoFreeSlot(GpuqError):
    """All slots are taken, or this user's share of them."""


class CorruptData(GpuqError):
    """Redis serves, but a script failed on the stored data; nothing was changed before that."""


class CorruptEntry(GpuqError):
    """A stored entry cannot be read; `raw` is its text."""

    def __init__(self, raw: str, why: str) -> None:
        super().__init__(f"A queue entry cannot be read ({why}): {raw[:200]!r}")
        self.raw = raw
