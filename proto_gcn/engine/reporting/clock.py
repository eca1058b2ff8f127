"""Times of a run, added up over the processes that worked on it."""

import time

from proto_gcn.engine.checkpoints.checkpoint import Progress


class Clock:
    """Starts when training starts or goes on; `steps` is the number of steps done by then."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._run_before, self._epoch_before, self._steps_before = (
            progress.elapsed_s,
            progress.epoch_s,
            steps,
        )
        self._started = self._epoch_started = time.monotonic()

    def elapsed(self) -> float:
        """Seconds spent on this run, by this process and the ones before it."""
        return self._run_before + time.monotonic() - self._started

    def epoch_seconds(self) -> float:
        """Seconds spent on the unfinished epoch."""
        return self._epoch_before + time.monotonic() - self._epoch_started

    def next_epoch(self) -> None:
        self._epoch_before, self._epoch_started = 0.0, time.monotonic()

    def eta(self, done: int, total: int) -> float | None:
        """Seconds left at the pace of this process (evaluation included); None before its first step."""
        here = done - self._steps_before
        return (
            round((time.monotonic() - self._started) / here * (total - done), 1)
            if here > 0
            else None
        )
