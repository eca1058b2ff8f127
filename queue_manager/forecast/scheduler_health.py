"""What the scheduler's heartbeat says about the scheduler."""

from collections.abc import Mapping
from typing import Any

from jobqueue.clock import seconds
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Store

#: After this many poll intervals without a word the scheduler counts as away.
MISSED_INTERVALS = 3


def read_heartbeat(store: Store) -> Mapping[str, Any] | None:
    """The heartbeat, None where there is none that can be read."""
    try:
        heartbeat = store.heartbeat()
    except ValueError:
        return None
    return heartbeat if isinstance(heartbeat, dict) else None


def scheduler_trouble(heartbeat: Mapping[str, Any] | None, now: float) -> Reason | None:
    """Why nothing is started at `now` (s since the epoch), with the time since when; None while the scheduler works."""
    if heartbeat is None:
        return Reason(
            ReasonCode.SCHEDULER_NOT_RESPONDING,
            "The scheduler has not reported yet; see whether it runs.",
        )
    try:
        at, interval_s = str(heartbeat["at"]), float(heartbeat["poll_interval_s"])
        is_stale = now - seconds(at) > MISSED_INTERVALS * interval_s
    except (KeyError, ValueError, TypeError):
        return Reason(
            ReasonCode.SCHEDULER_NOT_RESPONDING,
            "The scheduler's heartbeat cannot be read; see its version and log.",
        )
    if is_stale:
        text = f"The scheduler is away since {at}; jobs are kept and start when it is back."
        return Reason(ReasonCode.SCHEDULER_NOT_RESPONDING, text)
    halted = heartbeat.get("halted")
    return _halted(halted) if isinstance(halted, dict) else None


def _halted(halted: Mapping[str, Any]) -> Reason:
    since, why, remedy = (
        str(halted.get(part) or "").rstrip(". ") for part in ("since", "why", "remedy")
    )
    text = f"The scheduler is halted since {since}: {why}." + (f" {remedy}." if remedy else "")
    return Reason(ReasonCode.HALTED, text)
