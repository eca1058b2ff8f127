"""Several engines in one scheduler: a job's record names its own."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import FakeEngine, make_job, make_node
from jobqueue.phase import Phase
from scheduler.engines.by_name import Engines
from scheduler.engines.contract import EngineUnavailable, WorkflowPhase, WorkflowStatus
from tests.unit.scheduler.conftest import Rig
from workflows.render import workflow_name


def test_a_record_names_its_engine_and_an_old_one_means_the_first() -> None:
    first, other = FakeEngine(), FakeEngine(name="other")
    engines = Engines([first, other])
    assert engines.of_job(make_job()) is first
    assert engines.of_job(make_job(engine="other")) is other
    assert engines.default is first


def test_an_engine_that_is_not_configured_is_unavailable_and_not_empty() -> None:
    with pytest.raises(EngineUnavailable, match="no engine slurm"):
        Engines([FakeEngine()]).of_job(make_job(engine="slurm"))


def test_a_list_is_complete_or_fails() -> None:
    first, other = FakeEngine(), FakeEngine(name="other")
    status = WorkflowStatus("w", "uid", "ann_1", 1, WorkflowPhase.RUNNING, engine="other")
    other.made["w"] = status
    assert Engines([first, other]).workflows() == [status]
    other.away = EngineUnavailable("no answer")
    with pytest.raises(EngineUnavailable):
        Engines([first, other]).workflows()


def test_each_job_is_followed_on_its_own_engine(rig: Rig) -> None:
    """Two engines have a workflow of one name; only the job's own one counts."""
    other = FakeEngine(name="other")
    rig.more_engines = (other,)
    rig.monitors.answer = [make_node()]
    job_id, scheduler = rig.submit(), rig.scheduler()
    scheduler.run_cycle()
    job = rig.job(job_id)
    assert (job.phase, job.engine) == (Phase.ADMITTED, "fake")
    assert (rig.engine.created, other.created) == ([workflow_name(job)], [])
    elsewhere = rig.engine.made.pop(workflow_name(job))
    other.made[workflow_name(job)] = replace(elsewhere, engine="other")
    rig.redis.hset(f"job:{job_id}", "engine", "other")
    other.set(workflow_name(job), phase=WorkflowPhase.RUNNING, started_at=rig.clock())
    scheduler.run_cycle()
    assert rig.job(job_id).phase is Phase.RUNNING
    rig.store.cancel(job_id, rig.clock())
    scheduler.run_cycle()
    assert (rig.engine.stopped, other.stopped) == ([], [workflow_name(job)])
