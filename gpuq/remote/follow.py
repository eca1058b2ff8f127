"""Follow a job to its end, poll by poll: the client behind `--wait`, `--follow` and the demo."""

import time
from collections.abc import Callable
from typing import Any

from gpuq.errors import ServerTrouble, TimedOut, TrainingFailed, Unreachable
from gpuq.output.progress import View
from gpuq.output.text import indented, reason_text
from gpuq.remote.client import Client
from jobqueue.phase import Phase

PAUSE_S = 1.0
#: A restart of the queue manager or of Redis takes less; the training continues meanwhile.
PATIENCE_S = 60.0
LOG_LINES = 10


class Follower:
    """Polls one job and shows what is new; `best_top1` is the best value so far (percent)."""

    def __init__(
        self, client: Client, job_id: str, view: View, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job_id = job_id
        self.best_top1: float | None = None
        self._client = client
        self._view = view
        self._clock = clock
        self._since = 0
        self._failing_since: float | None = None

    def poll(self) -> dict[str, Any] | None:
        """Return the job's record once it has ended, else None."""
        try:
            job = self._client.job(self.job_id)
            self._show_metrics()  # after the phase: an ended job has written all of them
        except (Unreachable, ServerTrouble) as failure:
            self._be_patient(failure)
            return None
        self._failing_since = None
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
        if self._failing_since is None:
            self._failing_since = now
            self._view.note(f"{failure} Retrying for {PATIENCE_S:.0f} s; the job continues.")
        if now - self._failing_since > PATIENCE_S:
            raise failure


def follow_to_end(
    follower: Follower,
    timeout_s: float | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Return the record of the job once it has ended; raises TimedOut."""
    deadline = None if timeout_s is None else clock() + timeout_s
    while (job := follower.poll()) is None:
        if deadline is not None and clock() > deadline:
            job_id = follower.job_id
            raise TimedOut(
                f"{job_id} has not ended within {timeout_s:g} s; it continues (gpuq show {job_id})."
            )
        sleep(PAUSE_S)
    return job


def outcome(job: dict[str, Any], best_top1: float | None) -> str:
    """Return the result as a sentence; raises TrainingFailed with the reason and the log's end."""
    if job["status"] == Phase.SUCCEEDED:
        return "succeeded" if best_top1 is None else f"succeeded: best top-1 {best_top1:.1f} %"
    parts = [f"{job['job_id']} {job['status']}: {reason_text(job['reason'])}"]
    if tail := job.get("log_tail"):
        parts += ["Its last log lines:", indented(tail[-LOG_LINES:])]
    raise TrainingFailed("\n".join(parts))
