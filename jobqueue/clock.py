"""This module converts times: seconds since the epoch in the code, RFC 3339 in UTC outside it."""

from datetime import UTC, datetime


def rfc3339(at: float) -> str:
    """Return `at` (seconds since the epoch) in milliseconds, like 2026-11-24T12:51:16.250Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    """Read an RFC 3339 time; raises ValueError if it is not one or has no UTC offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write it like 2026-11-24T12:51:16Z")
    return at.timestamp()


def seed_timestamp(at: float) -> str:
    """Return the `timestamp` of a queue entry (docs/founding-document.md): 2025-12-19T12:51:16.

    The time is in UTC, but the text does not say so.
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def id_stamp(at: float) -> str:
    """Return the time in a job's id, when it was submitted: UTC as YYYYMMDDhhmmss."""
    return seed_timestamp(at).translate(_DIGITS_ONLY)


_DIGITS_ONLY = str.maketrans("", "", "-T:")
