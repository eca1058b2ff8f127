"""This module defines the context that every part of the scheduler needs."""

from collections.abc import Callable
from dataclasses import dataclass

from jobqueue.store.client import Store
from scheduler.clocks import SYSTEM_CLOCKS, Clocks
from scheduler.engines.by_name import Engines
from scheduler.health.alerts import Alerts
from scheduler.monitors import MonitorClient
from scheduler.settings import SchedulerSettings


def _no_op() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Context:
    """The context has the outside systems, the settings and the clocks of one scheduler.

    `keep_alive` is called between two steps of a cycle, which may get long; it raises StaleLeader
    if the lead is lost.
    """

    store: Store
    engines: Engines
    monitors: MonitorClient
    alerts: Alerts
    settings: SchedulerSettings
    clocks: Clocks = SYSTEM_CLOCKS
    keep_alive: Callable[[], None] = _no_op

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.clocks.wall()
