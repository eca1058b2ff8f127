"""A scheduler on a real store with a fake engine, fake monitors and a clock that stands still."""

from dataclasses import dataclass
from typing import Any

import pytest

from devtools import ROOT
from devtools.testbed.fakes import FakeAlerts, FakeClock, FakeEngine, FakeMonitors, make_node
from jobqueue.job import Job, JobSpec
from jobqueue.store.client import Caps, Store
from scheduler.clocks import Clocks
from scheduler.context import Context
from scheduler.engines.by_name import Engines
from scheduler.loop import Scheduler
from scheduler.settings import SchedulerSettings

TEMPLATES = ROOT / "workflows"


@dataclass
class Rig:
    """Everything around one scheduler."""

    store: Store
    engine: FakeEngine
    monitors: FakeMonitors
    alerts: FakeAlerts
    clock: FakeClock
    settings: SchedulerSettings
    redis: Any  #: the store's Redis, behind its back
    more_engines: tuple[FakeEngine, ...] = ()

    def scheduler(self, holder: str = "me") -> Scheduler:
        context = Context(
            self.store,
            Engines([self.engine, *self.more_engines]),
            self.monitors,  # type: ignore[arg-type]
            self.alerts,  # type: ignore[arg-type]
            self.settings,
            Clocks(self.clock, self.clock),
        )
        return Scheduler(context, holder)

    def submit(self, user: str = "ann", **fields: Any) -> str:
        spec = JobSpec(user, "config.yaml", f"/data/{user}", config_text="a: 1\n", **fields)
        return self.store.enqueue(spec, self.clock(), Caps(per_user=1000)).job_id

    def job(self, job_id: str) -> Job:
        return self.store.job(job_id)


@pytest.fixture
def rig(store: Store, raw_redis: Any) -> Rig:
    settings = SchedulerSettings(
        workflow_template=TEMPLATES / "proto-gcn-workflow.yaml", lease_s=60
    )
    monitors, clock = FakeMonitors(make_node()), FakeClock()
    return Rig(store, FakeEngine(), monitors, FakeAlerts(), clock, settings, raw_redis)
