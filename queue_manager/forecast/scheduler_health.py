"""Judge the scheduler by its heartbeat in Redis."""

from collections.abc import Mapping
from typing import Any

from jobqueue.clock import seconds
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.health import HealthProblem, ProblemCode
from jobqueue.store.client import Store

#: After this many poll intervals without a heartbeat the scheduler counts as not responding.
MISSED_INTERVALS = 3


def read_heartbeat(store: Store) -> Mapping[str, Any] | None:
    """Return the heartbeat; None if there is none, or none that can be read."""
    try:
        heartbeat = store.heartbeat()
    except ValueError:
        return None
    return heartbeat if isinstance(heartbeat, dict) else None


def scheduler_problem(heartbeat: Mapping[str, Any] | None, now: float) -> HealthProblem | None:
    """Return why no job is started at `now` (epoch seconds); None while the scheduler works."""
    if heartbeat is None:
        text = "The scheduler has not reported yet; check that it is running."
        return HealthProblem(ProblemCode.SCHEDULER_NOT_RESPONDING, text)
    try:
        at, interval_s = str(heartbeat["at"]), float(heartbeat["poll_interval_s"])
        is_stale = now - seconds(at) > MISSED_INTERVALS * interval_s
    except (KeyError, ValueError, TypeError):
        text = "The scheduler's heartbeat cannot be read; check its version and its log."
        return HealthProblem(ProblemCode.SCHEDULER_HEARTBEAT_UNREADABLE, text)
    if is_stale:
        text = (
            f"The scheduler has not reported since {at}. "
            "Queued jobs are safe and will start once it is back."
        )
        return HealthProblem(ProblemCode.SCHEDULER_NOT_RESPONDING, text)
    halted = heartbeat.get("halted")
    return _halted(halted) if isinstance(halted, dict) else None


def scheduler_reason(heartbeat: Mapping[str, Any] | None, now: float) -> Reason | None:
    """Return the same as the reason of every queued job."""
    problem = scheduler_problem(heartbeat, now)
    if problem is None:
        return None
    is_halted = problem.code is ProblemCode.SCHEDULER_HALTED
    code = ReasonCode.HALTED if is_halted else ReasonCode.SCHEDULER_NOT_RESPONDING
    return Reason(code, problem.message)


def _halted(halted: Mapping[str, Any]) -> HealthProblem:
    since, why, remedy = (
        str(halted.get(part) or "").rstrip(". ") for part in ("since", "why", "remedy")
    )
    text = f"The scheduler has been halted since {since}: {why}."
    if remedy:
        text += f" {remedy}."
    return HealthProblem(ProblemCode.SCHEDULER_HALTED, text)
