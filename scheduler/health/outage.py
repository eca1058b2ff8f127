"""Outages of what the scheduler needs: first retries, then halted with one alert, then resumed."""

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
    """The scheduler admits nothing: since when (seconds since the epoch), why, and the remedy."""

    since: float
    why: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Return the halt as the heartbeat has it."""
        return {"since": rfc3339(self.since), "why": self.why, "remedy": self.remedy}


@dataclass(frozen=True)
class Policy:
    """How many failures in a row are only retried, and whether a halt ends by itself."""

    retries: int
    is_manual: bool = False  #: a halt stays until `resume`, even if the system is back


class Outage:
    """Counts the failures of one outside system in a row, and halts when there are too many."""

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
    """The outages that halt the scheduler: of Redis, and of the engine."""

    def __init__(
        self, settings: SchedulerSettings, alerts: Alerts, clock: Callable[[], float]
    ) -> None:
        is_manual = settings.resume == "manual"
        redis, engine = Policy(settings.redis_retries, is_manual), Policy(ENGINE_RETRIES, is_manual)
        self.redis = Outage("Redis", redis, alerts, clock)
        self.engine = Outage("the engine", engine, alerts, clock)

    @property
    def halt(self) -> Halt | None:
        """The present halt, if there is one."""
        return self.redis.halt or self.engine.halt

    @property
    def sentence(self) -> str:
        """Why nothing is admitted; empty if jobs are."""
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
