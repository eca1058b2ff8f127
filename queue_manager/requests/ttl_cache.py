"""Cache what every request needs and what changes seldom, for a second."""

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

TTL_S = 1.0

Arguments = TypeVarTuple("Arguments")
T = TypeVar("T")


def ttl_cached(
    read: Callable[[*Arguments], T],
    ttl_s: float = TTL_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[*Arguments], T]:
    """Return `read` with answers that are reused for `ttl_s`, for few different arguments.

    Threads that call at the same time may each read, so that none waits for another. Errors are
    not cached.
    """
    kept: dict[object, tuple[float, T]] = {}

    def cached(*arguments: *Arguments) -> T:
        begin, last = monotonic(), kept.get(arguments)
        if last is None or begin - last[0] >= ttl_s:
            last = kept[arguments] = begin, read(*arguments)
        return last[1]

    return cached
