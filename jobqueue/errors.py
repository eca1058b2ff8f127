"""What can go wrong between the services and Redis.

GpuqError
├── StoreUnavailable       Redis is away, slow, or refuses to serve: nothing was changed, try again
├── JobNotFound            no record under that id
├── InvalidTransition      the job's phase does not allow it
├── QueueFull              a cap on queued jobs is reached
├── IdempotencyConflict    the same Idempotency-Key with another body
├── TooManyTokens          the user has as many valid access tokens as she may
├── StaleLeader            another scheduler leads; this one's write was refused
├── NoFreeSlot             MAX_RUNNING_JOBS or MAX_RUNNING_PER_USER is reached
├── CorruptEntry           a stored entry cannot be read
└── CorruptData            a script of ours met data that no gpuq wrote
"""


class GpuqError(Exception):
    """Base of all of gpuq's own errors; its text is one sentence that can be shown to a person."""


class StoreUnavailable(GpuqError):
    """Redis does not serve; the text says why and what mends it."""


class JobNotFound(GpuqError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}; GET /jobs?user=<user> lists a user's jobs.")
        self.job_id = job_id


class InvalidTransition(GpuqError):
    """The job's phase does not allow what was asked; `phase` is where it stands."""

    def __init__(self, job_id: str, phase: str, to: str) -> None:
        retry = f"Only a failed or cancelled job can be retried; {job_id} is {phase}."
        super().__init__(
            retry if to == "queued" else f"Job {job_id} is {phase}, so it cannot become {to}."
        )
        self.job_id, self.phase, self.to = job_id, phase, to


class QueueFull(GpuqError):
    """`scope` is `user` or `total`, `limit` the cap that was reached."""

    def __init__(self, scope: str, limit: int) -> None:
        whose = "This user has" if scope == "user" else "The queue holds"
        super().__init__(
            f"{whose} {limit} queued jobs, which is the limit; submit again when some have started."
        )
        self.scope, self.limit = scope, limit


class IdempotencyConflict(GpuqError):
    """The key was used before, for `job_id`, with another body."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"This Idempotency-Key was used for job {job_id} with another body; use a new key for a new job."
        )
        self.job_id = job_id


class TooManyTokens(GpuqError):
    """`user` has `limit` valid tokens already."""

    def __init__(self, user: str, limit: int) -> None:
        super().__init__(
            f"{user} has {limit} valid tokens, which is the limit; revoke one first: gpuq admin token list shows them, "
            "gpuq admin token revoke ID takes one back."
        )
        self.user, self.limit = user, limit


class StaleLeader(GpuqError):
    """Another scheduler has taken the lead since; the write was refused."""


class NoFreeSlot(GpuqError):
    """All slots, or all that this user may have, are taken."""


class CorruptData(GpuqError):
    """Redis serves, but a script failed on what is stored; nothing was changed before it failed."""


class CorruptEntry(GpuqError):
    """A stored entry that cannot be read; `raw` is what stood there."""

    def __init__(self, raw: str, why: str) -> None:
        super().__init__(f"A queue entry cannot be read ({why}): {raw[:200]!r}")
        self.raw = raw
