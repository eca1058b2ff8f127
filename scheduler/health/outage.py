"""When something that the scheduler needs stays away: retries, then halted with one alert an episode, then back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobqueue.clock import rfc3339
from scheduler.health.alerts import Alerts


@dataclass(frozen=True)
class Halt:
    """The scheduler admits nothing, since when, why, and what to do."""

    since: float
    why: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        return {"since": rfc3339(self.since), "why": self.why, "remedy": self.remedy}


class Outage:
    """Counts the failures of one outside system in a row, and halts when they pass `retries`.

    With `manual` a halt stays after the system has come back, until `resume` is called.
    """

    def __init__(
        self,
        what: str,
        retries: int,
        alerts: Alerts,
        clock: Callable[[], float],
        manual: bool = False,
    ) -> None:
        self._what, self._retries, self._alerts, self._clock, self._manual = (
            what,
            retries,
            alerts,
            clock,
            manual,
        )
        self.failures = 0
        self.halt: Halt | None = None

    def failed(self, why: str, remedy: str) -> None:
        """One more failure; the first `retries` of them are only retried."""
        self.failures += 1
        if self.failures > self._retries:
            self.halt_now(why, remedy)

    def halt_now(self, why: str, remedy: str) -> None:
        if self.halt is None:
            self.halt = Halt(self._clock(), why, remedy)
            self._alerts.send(f"The scheduler is halted: {why}", remedy)

    def recovered(self) -> None:
        """It answers again."""
        self.failures = 0
        if self.halt is not None and not self._manual:
            self.resume()

    def resume(self) -> None:
        if self.halt is not None:
            self._alerts.send(
                f"The scheduler goes on: {self._what} is back.", "Nothing has to be done."
            )
        self.halt = None
