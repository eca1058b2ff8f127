"""What is asked for with every request and changes seldom is read once a second."""

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

MOST_AGE_S = 1.0

Asked = TypeVarTuple("Asked")
T = TypeVar("T")


def recent(
    read: Callable[[*Asked], T],
    most_age_s: float = MOST_AGE_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> Callable[[*Asked], T]:
    """`read`, whose answers are given again until they are `most_age_s` old; of few different questions.

    Threads that ask at the same time may each read, so that none waits for another; what is raised is not kept.
    """
    kept: dict[object, tuple[float, T]] = {}

    def answer(*asked: *Asked) -> T:
        begin, last = monotonic(), kept.get(asked)
        if last is None or begin - last[0] >= most_age_s:
            last = kept[asked] = begin, read(*asked)
        return last[1]

    return answer
