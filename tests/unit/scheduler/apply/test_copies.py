"""Copies of workflows (`argo resubmit`) have a job's labels, but not its workflow's name."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import NOW
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus
from tests.unit.scheduler.conftest import Rig
from workflows.render import workflow_name


def copied(rig: Rig, job_id: str, attempt: int = 1) -> WorkflowStatus:
    """A live copy on the only node, with its only GPU."""
    name = f"{workflow_name(replace(rig.job(job_id), attempt=attempt))}-x7k2p"
    held = ("GPU-00000000-gpu-1",)
    made = WorkflowStatus(name, "copy", job_id, attempt, WorkflowPhase.RUNNING, "gpu-1", held, NOW)
    rig.engine.made[name] = made
    return made


def test_a_copy_of_a_queued_jobs_workflow_is_counted_and_never_adopted(rig: Rig) -> None:
    job_id, scheduler = rig.submit(), rig.scheduler()
    made = copied(rig, job_id)
    for _ in range(3):
        scheduler.run_cycle()
    assert rig.job(job_id).phase is Phase.QUEUED
    assert rig.engine.stopped == []
    assert len(rig.alerts.sent) == 1
    assert made.name in rig.alerts.sent[0]
    del rig.engine.made[made.name]
    scheduler.run_cycle()
    assert rig.job(job_id).phase is Phase.ADMITTED


def test_a_copy_of_a_running_jobs_workflow_is_counted(rig: Rig) -> None:
    rig.settings = rig.settings.model_copy(update={"max_running_jobs": 2})
    rig.engine.pins_gpus = False
    job_id, scheduler = rig.submit("a"), rig.scheduler()
    scheduler.run_cycle()
    waiting, made = rig.submit("b"), copied(rig, job_id)
    scheduler.run_cycle()
    assert rig.job(waiting).reason.code is ReasonCode.SLOTS_FULL
    assert made.name in rig.engine.made
    assert (rig.job(waiting).phase, rig.engine.stopped) == (Phase.QUEUED, [])


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_copy_of_a_finished_jobs_workflow_is_left_alone_too(rig: Rig, attempt: int) -> None:
    job_id, scheduler = rig.submit(), rig.scheduler()
    rig.store.cancel(job_id, NOW)
    waiting, made = rig.submit("b"), copied(rig, job_id, attempt)
    scheduler.run_cycle()
    assert rig.engine.stopped == []
    assert rig.job(waiting).phase is Phase.QUEUED
    rig.engine.set(made.name, phase=WorkflowPhase.SUCCEEDED, finished_at=NOW)
    scheduler.run_cycle()
    assert rig.job(waiting).phase is Phase.ADMITTED
