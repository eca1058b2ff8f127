"""This module declares what can go wrong between the services and Redis.

GpuqError
├── StoreUnavailable       Redis is unreachable, slow, or refuses: nothing was changed, try again
├── JobNotFound            no record under that id
├── InvalidTransition      the job's phase does not allow it
├── QueueFull              a cap on queued jobs is reached
├── IdempotencyConflict    the same Idempotency-Key with another body
├── TooManyTokens          the user has as many valid access tokens as allowed
├── StaleLeader            another scheduler is the leader; the write was refused
├── NoFreeSlot             MAX_RUNNING_JOBS or MAX_RUNNING_PER_USER is reached
├── CorruptEntry           a stored entry cannot be read
└── CorruptData            a script of ours failed on data that gpuq did not write
"""


class GpuqError(Exception):
    """The base of gpuq's own errors; the text is one sentence that a person may see."""


class StoreUnavailable(GpuqError):
    """Redis cannot serve the call; the text gives the reason and the remedy."""


class JobNotFound(GpuqError):
    """No job has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}; GET /jobs?user=<user> lists a user's jobs.")
        self.job_id = job_id


class InvalidTransition(GpuqError):
    """The job's phase does not allow what was asked; `phase` is the present one."""

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
    """The key was used before, for `job_id` and another body."""

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
            f"{user} has {limit} valid tokens, which is the limit; revoke one first: "
            "gpuq admin token list shows them, gpuq admin token revoke ID revokes one."
        )
        self.user = user
        self.limit = limit


class StaleLeader(GpuqError):
    """Another scheduler has become the leader since; the write was refused."""


class NoFreeSlot(GpuqError):
    """All slots, or all those of this user, are taken."""


class CorruptData(GpuqError):
    """Redis answers, but a script failed on stored data before it changed anything."""


class CorruptEntry(GpuqError):
    """A stored entry cannot be read; `raw` is its text."""

    def __init__(self, raw: str, why: str) -> None:
        super().__init__(f"A queue entry cannot be read ({why}): {raw[:200]!r}")
        self.raw = raw
