"""End the pause between two cycles early: after a submission, a cancel, a retry, or a job's end."""

import threading
from collections.abc import Callable
from functools import partial

from jobqueue.errors import StoreUnavailable
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from scheduler.engines.by_name import Engines

log = get_logger(__name__)

_BLOCK_S = 2.0


class Waker:
    """Threads wake the loop: one follows Redis' stream, one watches each engine.

    A wake is only a hint; the cycle itself looks at everything.
    """

    def __init__(self, store: Store, engines: Engines, stopping: threading.Event) -> None:
        self._store = store
        self._engines = engines
        self._stopping = stopping
        self._woken = threading.Event()

    def start(self) -> None:
        """Start the threads, which end with the process."""
        self._start("events", self._follow_events)
        for number, watch in enumerate(self._engines.watches()):
            self._start(f"engine-{number}", partial(watch, self.wake, self._stopping))

    def wake(self) -> None:
        """End the present pause, or the next one."""
        self._woken.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until woken, at most `timeout_s`; return whether it was woken."""
        woken = self._woken.wait(timeout_s)
        if woken:  # never after a timeout: a wake that came just then would be lost
            self._woken.clear()
        return woken

    def _start(self, name: str, task: Callable[[], None]) -> None:
        threading.Thread(target=self._repeat, args=(task,), name=name, daemon=True).start()

    def _repeat(self, task: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                task()
            except Exception:  # without hints the scheduler is only slower
                log.exception("A waker thread failed; it restarts in a second.")
                self._stopping.wait(1)

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
