"""SIGTERM: stop at once while a run is being set up, after the current step while it trains."""

import signal
from types import FrameType


class Stopped(BaseException):
    """SIGTERM arrived while a run was being set up.

    Like KeyboardInterrupt it is not an Exception, so that no handler takes it for the failure of
    what it interrupted: a checkpoint that was being read is not damaged.
    """


class Stop:
    """`requested` becomes true when the run has to end; Ctrl-C counts as SIGTERM."""

    def __init__(self) -> None:
        self.requested = False
        self._deferring = False

    def listen(self) -> None:
        """Handle the signals from now on, by raising Stopped."""
        signal.signal(signal.SIGTERM, self._received)
        signal.signal(signal.SIGINT, self._received)

    def defer(self) -> None:
        """Let a signal only set `requested` from now on."""
        self._deferring = True

    def _received(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferring:
            self._deferring = True  # a second signal must not interrupt the way out
            raise Stopped(
                "stopped by SIGTERM before its first step; a retry resumes from the last checkpoint"
            )
