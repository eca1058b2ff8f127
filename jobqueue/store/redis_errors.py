"""What Redis says when it refuses -> one of our errors, with a sentence that names the remedy."""

from typing import Any

from jobqueue import errors


def translate(error: Exception) -> errors.GpuqError:
    """An error of redis-py as ours: refusals of our own scripts (GPUQ_…), StoreUnavailable, or CorruptData."""
    text, kinds = str(error), {cls.__name__ for cls in type(error).__mro__}
    code, _, detail = text.partition(" ")
    ours = _OURS.get(code)
    if ours:
        return ours(detail.split(" "))
    for sign, sentence in _REMEDIES:
        if sign in text or sign in kinds:
            return errors.StoreUnavailable(sentence)
    if "TimeoutError" in kinds:
        return errors.StoreUnavailable(
            "Redis does not answer in time; look at its load and its disk."
        )
    if "ConnectionError" in kinds:
        return errors.StoreUnavailable(
            f"Redis cannot be reached ({text}); start it, or mend REDIS_URL."
        )
    if "user_script" in text:  # a Lua error of ours, not a refusal of Redis
        return errors.CorruptData(f"What Redis holds makes no sense to gpuq: {text}")
    return errors.StoreUnavailable(f"Redis refuses: {text}")


_OURS: dict[str, Any] = {
    "GPUQ_STALE": lambda words: errors.StaleLeader(
        f"Another scheduler leads now; {words[0]} was refused."
    ),
    "GPUQ_NOT_FOUND": lambda words: errors.JobNotFound(words[0]),
    "GPUQ_PHASE": lambda words: errors.InvalidTransition(*words[:3]),
    "GPUQ_QUEUE_FULL": lambda words: errors.QueueFull(words[0], int(words[1])),
    "GPUQ_NO_SLOT": lambda words: errors.NoFreeSlot(
        f"All slots are taken ({words[0]} limit {words[1]})."
    ),
    "GPUQ_TOKENS": lambda words: errors.TooManyTokens(words[0], int(words[1])),
    "GPUQ_IDEMPOTENCY": lambda words: errors.IdempotencyConflict(words[0]),
}

#: What Redis says (in the text, or the name of redis-py's error) -> what a person can do about it.
_REMEDIES = (
    (
        "AuthenticationError",
        "Redis refuses the password; set the right one in REDIS_URL (redis://:password@host:6379/0).",
    ),
    (
        "WRONGPASS",
        "Redis refuses the password; set the right one in REDIS_URL (redis://:password@host:6379/0).",
    ),
    ("NOAUTH", "Redis asks for a password; set it in REDIS_URL (redis://:password@host:6379/0)."),
    (
        "NOPERM",
        "Redis' ACL forbids a command that gpuq needs; give its user ~* and +@all, or -@dangerous +config|get.",
    ),
    ("ReadOnlyError", "Redis is a read-only replica; point REDIS_URL at the primary."),
    ("READONLY", "Redis is a read-only replica; point REDIS_URL at the primary."),
    (
        "MISCONF",
        "Redis cannot write to its disk (MISCONF); free space there, or mend the folder's permissions.",
    ),
    (
        "OutOfMemoryError",
        "Redis is out of memory (maxmemory); raise the limit, or let jobs finish.",
    ),
    ("OOM ", "Redis is out of memory (maxmemory); raise the limit, or let jobs finish."),
    ("BusyLoadingError", "Redis is still loading its file; it serves as soon as that is done."),
    ("LOADING", "Redis is still loading its file; it serves as soon as that is done."),
    (
        "WRONGTYPE",
        "A key of gpuq's holds another type in this Redis; give gpuq a database of its own in REDIS_URL.",
    ),
    ("unknown command", "This Redis is too old; gpuq needs Redis 6 or newer, or Valkey."),
)
