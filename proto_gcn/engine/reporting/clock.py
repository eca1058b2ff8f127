"""The times of a run, added up over the processes that worked on it."""

import time

from proto_gcn.engine.checkpoints.checkpoint import Progress


class Clock:
    """Starts when training starts or resumes; `steps` is the number of steps done by then."""

    def __init__(self, progress: Progress, steps: int) -> None:
        self._run_before = progress.elapsed_s
        self._epoch_before = progress.epoch_s
        self._steps_before = steps
        self._started = time.monotonic()
        self._epoch_started = self._started

    def elapsed(self) -> float:
        """Return the seconds spent on this run, by this process and those before it."""
        return self._run_before + time.monotonic() - self._started

    def epoch_seconds(self) -> float:
        """Return the seconds spent on the unfinished epoch."""
        return self._epoch_before + time.monotonic() - self._epoch_started

    def next_epoch(self) -> None:
        """Start the next epoch."""
        self._epoch_before = 0.0
        self._epoch_started = time.monotonic()

    def eta(self, done: int, total: int) -> float | None:
        """Return the seconds left at the pace of this process; None before its first step.

        The pace includes evaluation.
        """
        here = done - self._steps_before
        if here <= 0:
            return None
        return round((time.monotonic() - self._started) / here * (total - done), 1)
