"""This module estimates how long a queued job will wait, from the run times of finished jobs. Pure.

With one slot, and the average run time for every job, the estimate is position × average run time,
which is the rule of docs/founding-document.md.
"""

from collections.abc import Sequence

#: A job that runs longer than expected is assumed to need this share of its expected time more.
OVERRUN_SHARE = 0.1


def remaining_s(expected_s: float | None, elapsed_s: float) -> float | None:
    """Return how long a running job will still take (s), or None if it is unknown."""
    if expected_s is None:
        return None
    return max(expected_s - elapsed_s, OVERRUN_SHARE * expected_s)


def wait_s(
    running_left_s: Sequence[float | None], ahead_s: Sequence[float | None], slots: int
) -> float | None:
    """Return how long until a job starts (s): the time left and the time ahead, over the slots.

    Returns None if one of the parts is unknown: an incomplete sum would be too small.
    """
    parts = [*running_left_s, *ahead_s]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return sum(known) / max(slots, 1)


def in_words(wait: float | None) -> str:
    """Return `wait` (s) in words, such as "45 minutes" or "3 days 4 hours"; "unknown" for None."""
    if wait is None:
        return "unknown"
    minutes = round(wait / 60)
    if minutes < 1:
        return "less than a minute"
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return " ".join(filter(None, (_count(days, "day"), _count(hours, "hour"))))
    return " ".join(filter(None, (_count(hours, "hour"), _count(rest, "minute"))))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}" if number else ""
