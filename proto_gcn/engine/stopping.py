"""SIGTERM: at once while a run is being set up, after the current step while it trains."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from proto_gcn.errors import TerminatedError


class Stop:
    """`requested` turns true when the run has to end; Ctrl-C counts as SIGTERM."""

    def __init__(self) -> None:
        self.requested = False
        self._deferring = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._received)
        signal.signal(signal.SIGINT, self._received)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a signal only sets `requested`."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _received(self, _signal: int, _frame: FrameType | None) -> None:
        self.requested = True
        if not self._deferring:
            self._deferring = True  # a second signal must not interrupt the way out
            raise TerminatedError("stopped by SIGTERM before training began; submit again to start over")
