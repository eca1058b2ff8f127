"""A job to its end, look by look: the client behind `--wait`, `--follow` and the demo."""

import time
from collections.abc import Callable
from typing import Any

from gpuq.errors import ServerTrouble, TimedOut, TrainingFailed, Unreachable
from gpuq.output.progress import View
from gpuq.output.text import indented
from gpuq.remote.client import Client
from jobqueue.phase import Phase

PAUSE_S = 1.0
#: A restart of the queue manager or of Redis is over by then; the training goes on meanwhile.
PATIENCE_S = 60.0
LOG_LINES = 10


class Follower:
    """Looks at one job and shows what is new; `best_top1` is the best that it has seen (percent)."""

    def __init__(
        self, client: Client, job_id: str, view: View, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job_id = job_id
        self.best_top1: float | None = None
        self._client, self._view, self._clock = client, view, clock
        self._since = 0
        self._away_since: float | None = None

    def look(self) -> dict[str, Any] | None:
        """The job's record once it has ended, else None."""
        try:
            job = self._client.job(self.job_id)
            self._show_metrics()  # after the phase: of a job that has ended, all of them are there
        except (Unreachable, ServerTrouble) as failure:
            self._be_patient(failure)
            return None
        self._away_since = None
        self._view.phase(job)
        return job if Phase(job["status"]).is_finished else None

    def _show_metrics(self) -> None:
        metrics = self._client.metrics(self.job_id, self._since)
        self._since = metrics.next_since
        for line in metrics.lines:
            self.best_top1 = line.get("best_top1") or self.best_top1
            self._view.metric(line)

    def _be_patient(self, failure: Unreachable | ServerTrouble) -> None:
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
            self._view.note(f"{failure} Trying on for {PATIENCE_S:.0f} s; the job goes on.")
        if now - self._away_since > PATIENCE_S:
            raise failure


def follow_to_end(
    follower: Follower,
    timeout_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """The record of the job once it has ended; raises TimedOut."""
    deadline = None if timeout_s is None else clock() + timeout_s
    while (job := follower.look()) is None:
        if deadline is not None and clock() > deadline:
            raise TimedOut(
                f"{follower.job_id} has not ended within {timeout_s:g} s; it goes on (gpuq show {follower.job_id})."
            )
        sleep(PAUSE_S)
    return job


def outcome(job: dict[str, Any], best_top1: float | None) -> str:
    """How it went, in a sentence; raises TrainingFailed with the reason and the last log lines."""
    if job["status"] == Phase.SUCCEEDED:
        return "succeeded" if best_top1 is None else f"succeeded: best top-1 {best_top1:.1f} %"
    parts = [f"{job['job_id']} {job['status']}: {job['reason']['message']}"]
    if tail := job.get("log_tail"):
        parts += ["Its last log lines:", indented(tail[-LOG_LINES:])]
    raise TrainingFailed("\n".join(parts))
