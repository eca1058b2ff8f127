"""SIGTERM: at once while a run is being set up, after the current step while it trains."""

import signal
from types import FrameType


class Stopped(BaseException):
    """SIGTERM while a run is being set up; like KeyboardInterrupt no Exception, so that nobody on the way takes it for
    the failure of what was interrupted: a checkpoint that was being read is not damaged.
    """


class Stop:
    """`requested` turns true when the run has to end; Ctrl-C counts as SIGTERM."""

    def __init__(self) -> None:
        self.requested = False
        self._deferring = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._received)
        signal.signal(signal.SIGINT, self._received)

    def defer(self) -> None:
        """From now on a signal only sets `requested`."""
        self._deferring = True

    def _received(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferring:
            self._deferring = True  # a second signal must not interrupt the way out
            raise Stopped(
                "stopped by SIGTERM before its first step; a retry goes on from the last checkpoint"
            )
