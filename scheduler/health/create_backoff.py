"""Back off after failed creates: for 1 s, 2 s, … 60 s, or as long as the engine asks for."""

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.engines.contract import EngineError

FIRST_S = 1.0
LONGEST_S = 60.0
#: An engine's own "retry after so many seconds" is honoured up to this.
LONGEST_RETRY_AFTER_S = 300.0
_FORGET_S = 3600.0


@dataclass(frozen=True)
class _Wait:
    pause_s: float
    until: float  # monotonic
    why: str


class CreateBackoff:
    """The backoff delays jobs whose workflow could not be created, and with them all others.

    What prevents one create (a quota, a webhook that is down) mostly prevents all. The others wait
    until any create succeeds or the newest pause is over. The state is lost with the process: then
    each job is tried once more.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._waits: dict[str, _Wait] = {}
        self._newest: _Wait | None = None

    def failed(self, job_id: str, error: EngineError) -> None:
        """Delay the job; each failure in a row doubles its pause."""
        now, before = self._monotonic(), self._waits.get(job_id)
        pause = min(2 * before.pause_s, LONGEST_S) if before else FIRST_S
        asked = min(error.retry_after_s or 0, LONGEST_RETRY_AFTER_S)
        self._waits = {
            key: wait for key, wait in self._waits.items() if now - wait.until < _FORGET_S
        }
        self._newest = _Wait(pause, now + max(pause, asked), str(error))
        self._waits[job_id] = self._newest

    def succeeded(self, job_id: str) -> None:
        """End the pauses: a workflow was created."""
        self._waits.pop(job_id, None)
        self._newest = None

    def why_waits(self, job_id: str) -> str:
        """Return why this job is not tried now; empty if it may be."""
        return self._why(self._waits.get(job_id))

    def why_all_wait(self) -> str:
        """Return why no job is tried now; empty if jobs may be."""
        return self._why(self._newest)

    def _why(self, wait: _Wait | None) -> str:
        return wait.why if wait is not None and self._monotonic() < wait.until else ""
