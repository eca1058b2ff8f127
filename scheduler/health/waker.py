"""What ends the pause between two cycles early: a submission, a cancel, a retry, the end of a training."""

import threading
from collections.abc import Callable

from jobqueue.errors import StoreUnavailable
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from scheduler.engines.contract import Engine

log = get_logger(__name__)

_BLOCK_S = 2.0


class Waker:
    """An event that two threads set: one follows Redis' stream, one the engine. Only hints; the cycle looks itself."""

    def __init__(self, store: Store, engine: Engine, stopping: threading.Event) -> None:
        self._store, self._engine, self._stopping = store, engine, stopping
        self._woken = threading.Event()

    def start(self) -> None:
        for task in (self._follow_events, self._watch_engine):
            threading.Thread(
                target=self._keep_going, args=(task,), name=task.__name__, daemon=True
            ).start()

    def wake(self) -> None:
        self._woken.set()

    def wait(self, timeout_s: float) -> bool:
        """Until woken, at most `timeout_s`; tells whether it was."""
        woken = self._woken.wait(timeout_s)
        if woken:  # never after a timeout: a wake that came just then would be lost
            self._woken.clear()
        return woken

    def _keep_going(self, task: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                task()
            except Exception:  # a hint less is only slower
                log.exception("What wakes the scheduler broke; it goes on in a second.")
                self._stopping.wait(1)

    def _watch_engine(self) -> None:
        self._engine.watch(self.wake, self._stopping)

    def _follow_events(self) -> None:
        last = "$"
        while not self._stopping.is_set():
            try:
                if last == "$":
                    last = self._store.last_event_id()
                last, events = self._store.wait_events(last, _BLOCK_S)
            except StoreUnavailable:
                last = "$"
                self._stopping.wait(1)
                continue
            if any(event.get("by") == "api" for event in events):
                self.wake()
