"""Several engines behind one contract: each job is followed on the engine that its record names."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import NOW, FakeEngine, make_job, make_node
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from scheduler.engines.by_name import Engines
from scheduler.engines.contract import EngineUnavailable, WorkflowPhase
from tests.unit.scheduler.conftest import Rig
from workflows.render import workflow_name


@pytest.fixture
def other(rig: Rig) -> FakeEngine:
    other = FakeEngine(name="other")
    rig.more_engines = (other,)
    rig.settings = rig.settings.model_copy(update={"max_running_jobs": 2})
    rig.monitors.answer = [make_node(gpus=2)]
    return other


@pytest.fixture
def moved(rig: Rig, other: FakeEngine) -> str:
    """A job that runs on the other engine."""
    job_id = rig.submit()
    rig.scheduler().run_cycle()
    name = workflow_name(rig.job(job_id))
    other.made[name] = replace(rig.engine.made.pop(name), engine="other")
    rig.redis.hset(f"job:{job_id}", "engine", "other")
    return job_id


def test_an_admission_is_recorded_with_its_engine(rig: Rig, other: FakeEngine) -> None:
    job_id = rig.submit()
    rig.scheduler().run_cycle()
    assert rig.job(job_id).engine == "fake"
    assert (len(rig.engine.created), other.created) == (1, [])


def test_a_job_is_followed_to_its_end_on_its_own_engine(
    rig: Rig, other: FakeEngine, moved: str
) -> None:
    name, scheduler = workflow_name(rig.job(moved)), rig.scheduler()
    other.set(name, phase=WorkflowPhase.RUNNING, started_at=NOW)
    scheduler.run_cycle()
    assert rig.job(moved).phase is Phase.RUNNING
    rig.store.cancel(moved, NOW)
    scheduler.run_cycle()
    assert (other.stopped, rig.engine.stopped) == ([name], [])
    other.set(name, phase=WorkflowPhase.FAILED, exit_code=143, finished_at=NOW)
    scheduler.run_cycle()
    assert rig.job(moved).phase is Phase.CANCELLED


def test_a_record_without_an_engine_belongs_to_the_default_one(rig: Rig, other: FakeEngine) -> None:
    job_id, scheduler = rig.submit(), rig.scheduler()
    scheduler.run_cycle()
    rig.redis.hdel(f"job:{job_id}", "engine")
    rig.engine.set(workflow_name(rig.job(job_id)), phase=WorkflowPhase.RUNNING, started_at=NOW)
    scheduler.run_cycle()
    assert rig.job(job_id).phase is Phase.RUNNING


def test_jobs_of_an_engine_that_does_not_answer_are_not_gone(
    rig: Rig, other: FakeEngine, moved: str
) -> None:
    second, scheduler = rig.submit("zoe"), rig.scheduler()
    other.away = EngineUnavailable("The other engine does not answer.")
    with pytest.raises(EngineUnavailable):
        scheduler.run_cycle()
    assert (rig.job(moved).phase, rig.job(second).phase) == (Phase.ADMITTED, Phase.QUEUED)
    other.away = None
    scheduler.run_cycle()
    assert (rig.job(moved).phase, rig.job(second).phase) == (Phase.ADMITTED, Phase.ADMITTED)


def test_a_job_of_an_engine_that_this_scheduler_lacks_is_not_ended(rig: Rig, moved: str) -> None:
    rig.more_engines = ()
    scheduler = rig.scheduler()
    scheduler.guarded_cycle()
    assert rig.job(moved).phase is Phase.ADMITTED
    heartbeat = rig.store.heartbeat()
    assert heartbeat is not None
    assert heartbeat["summary"].startswith("This scheduler has no engine other (it has: fake)")


def test_the_same_name_on_another_engine_is_stopped(
    rig: Rig, other: FakeEngine, moved: str
) -> None:
    name, waiting = workflow_name(rig.job(moved)), rig.submit("zoe")
    rig.engine.made[name] = replace(other.made[name], uid="another", engine="fake")
    rig.scheduler().run_cycle()
    assert (rig.engine.stopped, other.stopped) == ([name], [])
    assert rig.job(moved).phase is Phase.ADMITTED
    assert rig.job(waiting).reason.code is ReasonCode.SLOTS_FULL


def test_a_lost_job_is_restored_with_its_engine(rig: Rig, other: FakeEngine, moved: str) -> None:
    rig.redis.flushall()
    rig.scheduler().run_cycle()
    assert (rig.job(moved).phase, rig.job(moved).engine) == (Phase.ADMITTED, "other")


def test_engines_by_name() -> None:
    first, second = FakeEngine(name="first"), FakeEngine(name="second")
    engines = Engines([first, second])
    assert engines.default is first
    assert engines.of_job(make_job()) is first
    assert engines.of_job(make_job(engine="second")) is second
    with pytest.raises(EngineUnavailable, match="no engine third"):
        engines.of_job(make_job(engine="third"))
