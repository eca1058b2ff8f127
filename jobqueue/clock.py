"""This module converts times: seconds since the epoch inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime


def rfc3339(at: float) -> str:
    """Return `at` (epoch seconds) as RFC 3339 in UTC, such as 2026-11-24T12:51:16.250Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    """Return the epoch seconds of an RFC 3339 time with an offset; raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write it like 2026-11-24T12:51:16Z")
    return at.timestamp()


def seed_timestamp(at: float) -> str:
    """Return the `timestamp` of a queue entry, in UTC without a zone: 2025-12-19T12:51:16.

    The format is that of docs/founding-document.md.
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def id_stamp(at: float) -> str:
    """Return the time part of a job id: UTC as YYYYMMDDhhmmss."""
    return seed_timestamp(at).translate(_DIGITS_ONLY)


_DIGITS_ONLY = str.maketrans("", "", "-T:")
