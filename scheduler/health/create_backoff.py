"""When a create that failed for certain is tried again: after 1 s, 2 s, … 60 s, or when the engine itself says."""

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.engines.contract import EngineError

FIRST_S = 1.0
LONGEST_S = 60.0
#: An engine's own "come again in so many seconds" is honoured up to here.
LONGEST_RETRY_AFTER_S = 300.0
_FORGET_S = 3600.0


@dataclass(frozen=True)
class _Held:
    pause_s: float
    until: float
    why: str


class Backoff:
    """Holds a job whose workflow was not made; the others wait with it until a workflow is made: what keeps one from
    being made (a quota, a webhook that is down) mostly keeps all.

    Lost with the process: then each is tried once more.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._held: dict[str, _Held] = {}
        self._shut: _Held | None = None

    def failed(self, job_id: str, error: EngineError) -> None:
        """No workflow was made for it; each time in a row it is held twice as long."""
        now, before = self._monotonic(), self._held.get(job_id)
        pause = min(2 * before.pause_s, LONGEST_S) if before else FIRST_S
        asked = min(error.retry_after_s or 0, LONGEST_RETRY_AFTER_S)
        self._held = {
            held: each for held, each in self._held.items() if now - each.until < _FORGET_S
        }
        self._held[job_id] = self._shut = _Held(pause, now + max(pause, asked), str(error))

    def made(self, job_id: str) -> None:
        self._held.pop(job_id, None)
        self._shut = None

    def holds(self, job_id: str) -> str:
        """Why a job is not tried now; '' where it may be."""
        return self._why(self._held.get(job_id))

    def holds_all(self) -> str:
        """Why none is tried now; '' where they may be."""
        return self._why(self._shut)

    def _why(self, held: _Held | None) -> str:
        return held.why if held is not None and self._monotonic() < held.until else ""
