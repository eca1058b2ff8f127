"""What every step that changes something needs."""

from collections.abc import Callable
from dataclasses import dataclass

from jobqueue.store.client import Store
from scheduler.engines.by_name import Engines
from scheduler.health.alerts import Alerts
from scheduler.settings import SchedulerSettings


@dataclass(frozen=True)
class Context:
    """The outside systems, the settings and the clocks of one scheduler.

    `keep_alive` is called between two steps of a cycle, which may get long; it raises StaleLeader
    if the lead is lost.
    """

    store: Store
    engines: Engines
    alerts: Alerts
    settings: SchedulerSettings
    clock: Callable[[], float]  #: seconds since the epoch
    keep_alive: Callable[[], None]
