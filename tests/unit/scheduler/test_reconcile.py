"""What follows from how a workflow stands."""

from dataclasses import replace
from typing import Any

import pytest

from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from scheduler import reconcile
from scheduler.engine import EndedBy, WorkflowPhase, WorkflowStatus
from scheduler.reconcile import Action, Explain, Finish, MarkRunning, RecordWorkflow, Requeue, Stop
from tests.fakes import NOW, make_job

ADMITTED = make_job(phase=Phase.ADMITTED, node="gpu-1", workflow_uid="uid", workflow_name="w")
RUNNING = replace(ADMITTED, phase=Phase.RUNNING, started_at=NOW)
TO_CANCEL = replace(RUNNING, cancel_requested_at=NOW)
PENDING = WorkflowStatus("w", "uid", ADMITTED.job_id, 1, WorkflowPhase.PENDING, "gpu-1")
LIVE = replace(PENDING, phase=WorkflowPhase.RUNNING, started_at=NOW)
ENDED = replace(LIVE, phase=WorkflowPhase.FAILED, exit_code=1, finished_at=NOW + 60, log_tail=("a", "boom"))


def decide(job: Job, workflow: WorkflowStatus | None, **more: Any) -> list[Action]:
    return reconcile.decide(job, workflow, NOW, **more)


def test_no_answer_to_the_create_is_not_the_jobs_fault() -> None:
    [action] = decide(replace(ADMITTED, workflow_uid=None), None, was_unanswered=True)
    assert isinstance(action, Requeue)
    assert (action.attempt, action.breaks, action.reason.code) == (False, False, ReasonCode.ENGINE_UNAVAILABLE)


def test_a_container_that_does_not_start_in_time_fails_the_job() -> None:
    stop, finish = decide(replace(ADMITTED, admitted_at=NOW - 601), replace(PENDING, message="ErrImagePull"))
    assert stop == Stop(replace(PENDING, message="ErrImagePull"))
    assert isinstance(finish, Finish)
    assert finish.reason.code is ReasonCode.START_DEADLINE
    assert "ErrImagePull" in finish.reason.message
    assert isinstance(decide(replace(ADMITTED, admitted_at=NOW - 599), PENDING)[0], Explain)


def test_only_whole_trainings_teach() -> None:
    done = replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0)
    [first] = decide(RUNNING, done)
    [second] = decide(replace(RUNNING, attempt=2), replace(done, attempt=2))
    assert isinstance(first, Finish)
    assert isinstance(second, Finish)
    assert (first.run_time_s, second.run_time_s) == (60, None)


def test_never_made_goes_back_to_the_front_as_the_same_attempt() -> None:
    [action] = decide(replace(ADMITTED, workflow_uid=None), None)
    assert isinstance(action, Requeue)
    assert (action.attempt, action.counts, action.breaks) == (False, False, True)


def test_deleted_by_hand_is_cancelled_and_not_run_again() -> None:
    [action] = decide(RUNNING, None)
    assert isinstance(action, Finish)
    assert (action.phase, action.reason.code) == (Phase.CANCELLED, ReasonCode.WORKFLOW_DELETED)


def test_a_made_but_unrecorded_workflow_is_adopted() -> None:
    assert decide(replace(ADMITTED, workflow_uid=None), LIVE)[0] == RecordWorkflow(LIVE)


@pytest.mark.parametrize("foreign", [replace(LIVE, job_id="other"), replace(LIVE, uid="other")])
def test_a_foreign_object_of_that_name_is_not_adopted(foreign: WorkflowStatus) -> None:
    [action] = decide(ADMITTED, foreign)
    assert isinstance(action, Finish)
    assert action.reason.code is ReasonCode.NAME_TAKEN


def test_pending_says_so() -> None:
    [action] = decide(ADMITTED, PENDING)
    assert isinstance(action, Explain)
    assert action.reason.code is ReasonCode.STARTING


def test_running_is_marked_once() -> None:
    assert decide(ADMITTED, LIVE) == [MarkRunning(NOW, "Running on gpu-1.")]
    assert decide(RUNNING, LIVE) == []


@pytest.mark.parametrize("workflow", [PENDING, LIVE])
def test_a_cancel_stops_whatever_lives(workflow: WorkflowStatus) -> None:
    assert decide(TO_CANCEL, workflow) == [Stop(workflow)]


def test_success_between_two_looks_passes_through_running() -> None:
    done = replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0)
    mark, finish = decide(ADMITTED, done)
    assert isinstance(mark, MarkRunning)
    assert isinstance(finish, Finish)
    assert (finish.phase, finish.run_time_s, finish.result.exit_code) == (Phase.SUCCEEDED, 60, 0)


def test_who_succeeded_first_stays_succeeded_though_a_cancel_was_asked_for() -> None:
    [finish] = decide(TO_CANCEL, replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0))
    assert isinstance(finish, Finish)
    assert finish.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("job", "exit_code", "ended_by", "phase", "code"),
    [
        (RUNNING, 1, EndedBy.ITSELF, Phase.FAILED, ReasonCode.TRAINING_FAILED),
        (RUNNING, 2, EndedBy.ITSELF, Phase.FAILED, ReasonCode.BAD_CONFIG),
        (RUNNING, 137, EndedBy.ITSELF, Phase.FAILED, ReasonCode.KILLED),
        (RUNNING, 139, EndedBy.ITSELF, Phase.FAILED, ReasonCode.KILLED),
        (RUNNING, 143, EndedBy.TIME_LIMIT, Phase.FAILED, ReasonCode.TIME_LIMIT),
        (RUNNING, 143, EndedBy.STOP, Phase.CANCELLED, ReasonCode.WORKFLOW_DELETED),
        (TO_CANCEL, 143, EndedBy.STOP, Phase.CANCELLED, ReasonCode.CANCELLED),
        (TO_CANCEL, 137, EndedBy.STOP, Phase.CANCELLED, ReasonCode.CANCELLED),
        (TO_CANCEL, 1, EndedBy.ITSELF, Phase.FAILED, ReasonCode.TRAINING_FAILED),
        (replace(RUNNING, requeues=3), None, EndedBy.EVICTION, Phase.FAILED, ReasonCode.REQUEUE_LIMIT),
    ],
)
def test_ends_for_good(job, exit_code, ended_by, phase, code) -> None:
    [action] = decide(job, replace(ENDED, exit_code=exit_code, ended_by=ended_by))
    assert isinstance(action, Finish)
    assert (action.phase, action.reason.code) == (phase, code)
    assert action.result.log_tail == ("a", "boom")


@pytest.mark.parametrize(
    ("exit_code", "ended_by", "counts", "avoid", "code"),
    [
        (None, EndedBy.EVICTION, True, False, ReasonCode.EVICTED),
        (143, EndedBy.ITSELF, True, False, ReasonCode.EVICTED),
        (143, EndedBy.SHUTDOWN, False, False, ReasonCode.EVICTED),
        (137, EndedBy.SHUTDOWN, False, False, ReasonCode.EVICTED),
        (75, EndedBy.ITSELF, False, True, ReasonCode.GPU_BUSY),
    ],
)
def test_goes_on_as_the_next_attempt(exit_code, ended_by, counts, avoid, code) -> None:
    [action] = decide(RUNNING, replace(ENDED, exit_code=exit_code, ended_by=ended_by))
    assert isinstance(action, Requeue)
    assert (action.attempt, action.counts, action.avoid_node, action.reason.code) == (True, counts, avoid, code)


def test_a_failure_shows_the_last_line_of_its_log() -> None:
    [action] = decide(RUNNING, ENDED)
    assert isinstance(action, Finish)
    assert action.reason.message == "The training ended with exit code 1: boom"
