"""How long a queued job will wait: pure arithmetic over what was learnt from finished jobs.

The founding document's rule, position × average run time, is what this comes to when nothing better is known: each job
counts with the average, and one slot works them off.
"""

from collections.abc import Sequence

#: A job that runs longer than expected is thought to need this share of its expected time more: never "any moment now".
OVERRUN_SHARE = 0.1


def remaining_s(expected_s: float | None, elapsed_s: float) -> float | None:
    """What a running job has left; None where nothing is expected of it."""
    if expected_s is None:
        return None
    return max(expected_s - elapsed_s, OVERRUN_SHARE * expected_s)


def wait_s(
    running_left_s: Sequence[float | None], ahead_s: Sequence[float | None], slots: int
) -> float | None:
    """How long until a job starts: what runs has left plus everything ahead, divided over the slots.

    None as soon as one of the parts is unknown: an estimate that leaves something out is not one.
    """
    parts = [*running_left_s, *ahead_s]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return sum(known) / max(slots, 1)


def in_words(wait: float | None) -> str:
    """`wait` (s) as people say it: "less than a minute", "45 minutes", "3 days 4 hours"; "unknown" for None."""
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
