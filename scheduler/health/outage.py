"""This module handles outages: first retries, then a halt with one alert, then the resume."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobqueue.clock import rfc3339
from scheduler.health.alerts import Alerts
from scheduler.settings import SchedulerSettings

#: How many failures of the engine in a row are only retried.
ENGINE_RETRIES = 6


@dataclass(frozen=True)
class Halt:
    """The scheduler admits nothing since a time (seconds since the epoch), for a reason."""

    since: float
    why: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Return the halt as the heartbeat has it."""
        return {"since": rfc3339(self.since), "why": self.why, "remedy": self.remedy}


@dataclass(frozen=True)
class Policy:
    """A policy sets how many failures in a row are retried, and whether a halt ends by itself."""

    retries: int
    is_manual: bool = False  #: a halt stays until `resume`, even if the system is back


class Outage:
    """An outage counts the failures of one outside system in a row; too many cause a halt."""

    def __init__(
        self, what: str, policy: Policy, alerts: Alerts, clock: Callable[[], float]
    ) -> None:
        self.failures = 0
        self.halt: Halt | None = None
        self._what = what
        self._policy = policy
        self._alerts = alerts
        self._clock = clock

    def failed(self, why: str, remedy: str) -> None:
        """Count one more failure."""
        self.failures += 1
        if self.failures > self._policy.retries and self.halt is None:
            self.halt = Halt(self._clock(), why, remedy)
            self._alerts.send(f"The scheduler is halted: {why}", remedy)

    def recovered(self) -> None:
        """Note that the system answers again."""
        self.failures = 0
        if not self._policy.is_manual:
            self.resume(f"{self._what} is reachable again")

    def resume(self, why: str) -> None:
        """End the halt, if there is one."""
        if self.halt is not None:
            self._alerts.send(f"Scheduling resumed: {why}.", "No action needed.")
        self.halt = None


class Outages:
    """Outages of Redis and of the engine halt the scheduler."""

    def __init__(
        self, settings: SchedulerSettings, alerts: Alerts, clock: Callable[[], float]
    ) -> None:
        is_manual = settings.resume == "manual"
        redis, engine = Policy(settings.redis_retries, is_manual), Policy(ENGINE_RETRIES, is_manual)
        self.redis = Outage("Redis", redis, alerts, clock)
        self.engine = Outage("the engine", engine, alerts, clock)

    @property
    def halt(self) -> Halt | None:
        """Return the present halt, if there is one."""
        return self.redis.halt or self.engine.halt

    @property
    def sentence(self) -> str:
        """Return why no job is admitted; empty if jobs may be."""
        halt = self.halt
        if halt is None:
            return ""
        return f"the scheduler has been halted since {rfc3339(halt.since)}: {halt.why}"

    def resume_if_asked(self, asked_at: Callable[[], float]) -> None:
        """End a halt if an admin has asked for it since it began."""
        halt = self.halt
        if halt is not None and asked_at() > halt.since:
            self.redis.resume("an admin requested it")
            self.engine.resume("an admin requested it")
