"""This module turns errors of Redis into errors of `jobqueue.errors` that name the remedy.

redis-py has exception classes for some errors; for the others, and for refusals by our own
scripts, the code is the first word of the error's text.
"""

import re
from collections.abc import Callable

from redis import exceptions

from jobqueue import errors

#: Redis 6 wraps an error of a command that a script calls, some with a dash before the code; later
#: versions pass it on as it is. redis-py wraps an error of a command in a pipeline.
_WRAPPED = re.compile(
    r"(?:Error running script .*@user_script: ?\d+: -?"
    r"|Command # \d+ \(.*\) of pipeline caused error: )(?P<inner>[A-Z]+ .*)",
    re.DOTALL,
)


def translate(error: Exception) -> errors.GpuqError:
    """Return a refusal by one of our scripts (GPUQ_…), StoreUnavailable, or CorruptData."""
    text = str(error)
    wrapped = _WRAPPED.search(text)
    code, _, detail = (wrapped["inner"] if wrapped else text).partition(" ")
    if code in _REFUSALS:
        return _REFUSALS[code](detail.split(" "))
    if code in _BY_CODE:
        return errors.StoreUnavailable(_BY_CODE[code])
    for kind, sentence in _BY_CLASS.items():
        if isinstance(error, kind):
            return errors.StoreUnavailable(sentence.format(text=text))
    # Redis has no code for these two: the server does not know a command; our Lua code failed.
    if text.startswith("unknown command"):
        return errors.StoreUnavailable(_TOO_OLD)
    if "user_script" in text:
        return errors.CorruptData(f"Unexpected data in Redis: {text}")
    return errors.StoreUnavailable(f"Redis refused the command: {text}")


def _stale(words: list[str]) -> errors.GpuqError:
    return errors.StaleLeader(f"Another scheduler is the leader now; {words[0]} was refused.")


def _no_slot(words: list[str]) -> errors.GpuqError:
    return errors.NoFreeSlot(f"All slots are taken ({words[0]} limit {words[1]}).")


#: The code of a refusal by our scripts -> the error, made of the words behind the code.
_REFUSALS: dict[str, Callable[[list[str]], errors.GpuqError]] = {
    "GPUQ_STALE": _stale,
    "GPUQ_NOT_FOUND": lambda words: errors.JobNotFound(words[0]),
    "GPUQ_PHASE": lambda words: errors.InvalidTransition(words[0], words[1], words[2]),
    "GPUQ_QUEUE_FULL": lambda words: errors.QueueFull(words[0], int(words[1])),
    "GPUQ_NO_SLOT": _no_slot,
    "GPUQ_TOKENS": lambda words: errors.TooManyTokens(words[0], int(words[1])),
    "GPUQ_IDEMPOTENCY": lambda words: errors.IdempotencyConflict(words[0]),
}

_TOO_OLD = "This Redis is too old; gpuq needs Redis 6 or newer, or Valkey."
_PASSWORD = (
    "Redis refuses the password; set the right one in REDIS_URL (redis://:password@host:6379/0)."
)
_ACL = (
    "The ACL of Redis forbids a command that gpuq needs; "
    "give its user ~* and +@all, or -@dangerous +config|get."
)
_READ_ONLY = "Redis is a read-only replica; point REDIS_URL at the primary."
_NO_MEMORY = (
    "Redis is out of memory (maxmemory); raise the limit, or wait until jobs have finished."
)
_DISK = (
    "Redis cannot write to its disk (MISCONF); free space there, or fix the folder's permissions."
)
_LOADING = "Redis is still loading its file; it will be available when that is done."
_WRONG_TYPE = (
    "A key of gpuq holds another type in this Redis; give gpuq a database of its own in REDIS_URL."
)

#: The first word of an error -> what a person can do about it.
_BY_CODE = {
    "MISCONF": _DISK,
    "WRONGTYPE": _WRONG_TYPE,
    "OOM": _NO_MEMORY,
    "READONLY": _READ_ONLY,
    "NOPERM": _ACL,
}

#: The same by redis-py's exceptions, which drop the code; a subclass is before its base class.
_BY_CLASS: dict[type[Exception], str] = {
    exceptions.AuthenticationError: _PASSWORD,
    exceptions.NoPermissionError: _ACL,
    exceptions.ReadOnlyError: _READ_ONLY,
    exceptions.OutOfMemoryError: _NO_MEMORY,
    exceptions.BusyLoadingError: _LOADING,
    exceptions.TimeoutError: "Redis does not answer in time; check its load and its disk.",
    exceptions.ConnectionError: "Redis cannot be reached ({text}); start it, or fix REDIS_URL.",
}
