"""Measure a scheduling cycle with 100,000 queued jobs on a real Valkey (AOF `always`).

The engine and the monitors are fakes.

One training runs, and each cycle rewrites the reason of every job at the head of the queue.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.filled import fill
from benchmarks.result import Result, p99
from devtools import ROOT
from devtools.testbed.fakes import FakeAlerts, FakeClock, FakeEngine, FakeMonitors, make_node
from devtools.testbed.system import running_system
from jobqueue.store.client import Store
from scheduler.clocks import Clocks
from scheduler.context import Context
from scheduler.engines.by_name import Engines
from scheduler.engines.contract import WorkflowPhase
from scheduler.loop import Scheduler
from scheduler.settings import SchedulerSettings

JOBS = 100_000
USERS = 1000
CYCLES = 200


def run() -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(Path(folder) / "system", "redis") as system,
    ):
        fill(system.redis_url, JOBS, USERS)
        taken = _cycles(system.store)
    name = f"a scheduling cycle with {JOBS:,} queued jobs"
    return [
        Result(f"{name}, median", statistics.median(taken) * 1000, "ms", 100),
        Result(f"{name}, p99", p99(taken) * 1000, "ms", 100),
    ]


def _cycles(store: Store) -> list[float]:
    settings = SchedulerSettings(
        workflow_template=ROOT / "workflows" / "proto-gcn-workflow.yaml", lease_s=60
    )
    clock, engine, monitors, alerts = (
        FakeClock(time.time()),
        FakeEngine(),
        FakeMonitors(make_node()),
        FakeAlerts(),
    )
    clocks = Clocks(clock, clock)
    outside: Any = (Engines([engine]), monitors, alerts)
    context = Context(store, *outside, settings, clocks)
    scheduler = Scheduler(context, "me")
    scheduler.run_cycle()
    engine.set(engine.created[0], phase=WorkflowPhase.RUNNING, started_at=clock.now)
    scheduler.run_cycle()
    return [_cycle(scheduler, store, clock) for _ in range(CYCLES)]


def _cycle(scheduler: Scheduler, store: Store, clock: FakeClock) -> float:
    """Return the time (s) of one cycle, a minute after the last one, so that all reasons change."""
    clock.tick(60)
    before = store.jobs(store.order(99, 1))[0].reason
    begin = time.perf_counter()
    scheduler.run_cycle()
    taken = time.perf_counter() - begin
    assert store.jobs(store.order(99, 1))[0].reason != before
    return taken
