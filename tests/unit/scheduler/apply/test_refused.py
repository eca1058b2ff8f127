"""The engine refuses to show or change one workflow: its job's reason says so, others continue."""

import pytest

from devtools.testbed.fakes import NOW, make_job, make_node
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from scheduler.engines.contract import (
    EngineForbidden,
    Obstacle,
    WorkflowNotMade,
    WorkflowPhase,
    WorkflowRefused,
    WorkflowStatus,
)
from tests.unit.scheduler.conftest import Rig
from workflows.render import workflow_name

REFUSED = WorkflowRefused("The API server refuses a call on this one object.")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.settings = rig.settings.model_copy(update={"max_running_jobs": 2})
    rig.monitors.answer = [make_node(gpus=2)]
    return rig


def name(rig: Rig, job_id: str) -> str:
    return workflow_name(rig.job(job_id))


def running(rig: Rig, job_id: str) -> None:
    rig.engine.set(name(rig, job_id), phase=WorkflowPhase.RUNNING, started_at=NOW)


def test_a_refused_stop_is_its_jobs_reason_and_the_queue_continues(rig: Rig) -> None:
    stuck, scheduler = rig.submit("a"), rig.scheduler()
    scheduler.run_cycle()
    running(rig, stuck)
    scheduler.run_cycle()
    rig.store.cancel(stuck, NOW)
    rig.engine.locked[name(rig, stuck)] = REFUSED
    other = rig.submit("b")
    for _ in range(9):
        scheduler.guarded_cycle(True)
    assert (rig.job(stuck).phase, rig.job(other).phase) == (Phase.RUNNING, Phase.ADMITTED)
    assert (rig.job(stuck).reason.code, rig.job(stuck).reason.message) == (
        ReasonCode.OBJECT_REFUSED,
        str(REFUSED),
    )
    assert rig.alerts.sent == [f"{stuck}: {REFUSED}"]
    assert scheduler.vitals.outages.halt is None
    rig.engine.locked.clear()
    scheduler.run_cycle()
    assert rig.engine.stopped == [name(rig, stuck)]
    assert rig.job(stuck).reason.code is ReasonCode.CANCELLING


def test_a_refused_check_is_its_jobs_reason_until_it_is_allowed(rig: Rig) -> None:
    hidden, scheduler = rig.submit("a"), rig.scheduler()
    scheduler.run_cycle()
    running(rig, hidden)
    scheduler.run_cycle()
    rig.engine.locked[name(rig, hidden)] = REFUSED
    seen = rig.engine.made.pop(name(rig, hidden))  # no list shows it
    other = rig.submit("b")
    scheduler.run_cycle()
    assert rig.job(hidden).reason.code is ReasonCode.OBJECT_REFUSED
    assert rig.job(other).phase is Phase.ADMITTED
    rig.engine.made[seen.name] = seen
    rig.engine.locked.clear()
    scheduler.run_cycle()
    assert rig.job(hidden).reason.code is ReasonCode.RUNNING


def test_a_refused_withdrawal_is_its_jobs_reason(rig: Rig) -> None:
    rig.engine.pins_gpus = False
    stuck, scheduler = rig.submit("a"), rig.scheduler()
    scheduler.run_cycle()
    rig.engine.set(
        name(rig, stuck), obstacle=Obstacle.NO_GPU, message="Insufficient nvidia.com/gpu"
    )
    rig.engine.locked[name(rig, stuck)] = REFUSED
    rig.monitors.answer = [make_node("gpu-1", gpus=2), make_node("gpu-2")]
    other = rig.submit("b")
    scheduler.run_cycle()
    assert rig.job(stuck).reason.message == str(REFUSED)
    assert rig.job(other).phase is Phase.ADMITTED


@pytest.mark.parametrize("phase", [WorkflowPhase.RUNNING, WorkflowPhase.FAILED])
def test_an_unneeded_workflow_that_can_be_neither_stopped_nor_deleted_is_one_alert(
    rig: Rig, phase: WorkflowPhase
) -> None:
    gone, other, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
    rig.store.cancel(gone, NOW)
    made = WorkflowStatus(name(rig, gone), "u", gone, 1, phase, "gpu-1", finished_at=NOW)
    rig.engine.made[made.name] = made
    rig.engine.locked[made.name] = REFUSED
    rig.clock.tick(rig.settings.workflow_retention_s + 1)
    for _ in range(2):
        scheduler.run_cycle()
    assert rig.job(other).phase is Phase.ADMITTED
    assert rig.alerts.sent == [f"{made.name}: {REFUSED}"]


def test_a_refused_removal_of_what_a_create_left_behind_is_repeated(rig: Rig) -> None:
    gone, scheduler = rig.submit("a"), rig.scheduler()
    rig.engine.refuse = WorkflowNotMade("The disk is full.")
    scheduler.run_cycle()
    rig.store.cancel(gone, NOW)
    rig.engine.locked[name(rig, gone)] = REFUSED
    other = rig.submit("b")
    rig.clock.tick(5)
    scheduler.run_cycle()
    assert rig.job(other).phase is Phase.ADMITTED
    rig.engine.locked.clear()
    scheduler.run_cycle()
    assert rig.engine.cleared == [name(rig, gone)]


def test_a_lost_job_whose_config_cannot_be_read_does_not_stop_the_queue(rig: Rig) -> None:
    job = make_job("gone")
    made = WorkflowStatus(
        workflow_name(job), "u", job.job_id, 1, WorkflowPhase.RUNNING, "gpu-1", submission={"x": 1}
    )
    rig.engine.made[made.name] = made
    rig.engine.locked[made.name] = REFUSED
    other, scheduler = rig.submit("b"), rig.scheduler()
    scheduler.run_cycle()
    assert rig.job(other).phase is Phase.ADMITTED


def test_a_permission_that_the_scheduler_lacks_halts_it(rig: Rig) -> None:
    stuck, scheduler = rig.submit("a"), rig.scheduler()
    scheduler.run_cycle()
    rig.store.cancel(stuck, NOW)
    rig.engine.locked[name(rig, stuck)] = EngineForbidden("The API server lacks a permission.")
    for _ in range(9):
        scheduler.guarded_cycle(True)
    assert scheduler.vitals.outages.halt is not None
