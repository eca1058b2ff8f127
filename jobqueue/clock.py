"""Times as the project writes them: seconds since the epoch inside, RFC 3339 in UTC outside."""

from datetime import UTC, datetime


def rfc3339(at: float) -> str:
    """`at` (seconds since the epoch) as RFC 3339 in UTC with milliseconds, e.g. 2026-11-24T12:51:16.250Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text: str) -> float:
    """The inverse of `rfc3339`; raises ValueError where `text` is no RFC 3339 time with an offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset; write it like 2026-11-24T12:51:16Z")
    return at.timestamp()


def seed_timestamp(at: float) -> str:
    """The founding document's `timestamp` of a queue entry: UTC without a zone, e.g. 2025-12-19T12:51:16."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


def id_stamp(at: float) -> str:
    """The part of a job id that tells when it came in: UTC as YYYYMMDDhhmmss."""
    return seed_timestamp(at).translate(_DIGITS_ONLY)


_DIGITS_ONLY = str.maketrans("", "", "-T:")
