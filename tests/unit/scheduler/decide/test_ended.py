"""What follows for a job when its workflow has ended: every outcome, word for word."""

from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job
from jobqueue.job import Job, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.actions import Finish, Requeue
from scheduler.decide.ended import MAX_REQUEUES, evicted, outcome
from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus

JOB = make_job(
    phase=Phase.RUNNING, node="gpu-1", workflow_uid="uid", workflow_name="w", started_at=NOW
)
TO_CANCEL = replace(JOB, cancel_requested_at=NOW)
ENDED = WorkflowStatus(
    "w",
    "uid",
    JOB.job_id,
    1,
    WorkflowPhase.FAILED,
    "gpu-1",
    started_at=NOW,
    finished_at=NOW + 60,
    exit_code=1,
    log_tail=("a", "b", "boom "),
)
RESUMES = "requeued at the front to resume from its checkpoint."


def finished(
    phase: Phase, code: ReasonCode, message: str, exit_code: int | None, detail: str = ""
) -> Finish:
    """The end of ENDED as it is written to the job's record."""
    result = Result(exit_code, ENDED.log_tail)
    return Finish(phase, Reason(code, message, detail), result, NOW + 60, 60)


def test_a_success_is_recorded_with_its_result_and_its_run_time() -> None:
    done = replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0)
    expected = finished(Phase.SUCCEEDED, ReasonCode.SUCCEEDED, "The training finished.", 0)
    assert outcome(JOB, done) == expected
    assert outcome(TO_CANCEL, done) == expected


@pytest.mark.parametrize(
    ("exit_code", "ended_by"),
    [(143, EndedBy.ITSELF), (137, EndedBy.STOP), (143, EndedBy.STOP), (1, EndedBy.STOP)],
)
def test_a_job_that_was_stopped_after_a_cancel_is_cancelled(
    exit_code: int, ended_by: EndedBy
) -> None:
    stopped = replace(ENDED, exit_code=exit_code, ended_by=ended_by)
    expected = finished(Phase.CANCELLED, ReasonCode.CANCELLED, "Cancelled by its user.", exit_code)
    assert outcome(TO_CANCEL, stopped) == expected


@pytest.mark.parametrize(("limit", "words"), [(60, "60 s"), (None, "its template's time limit")])
def test_the_time_limit_that_ended_a_job_is_named(limit: int | None, words: str) -> None:
    job = replace(JOB, spec=replace(JOB.spec, time_limit_s=limit))
    text = f"Stopped at its time limit ({words}); a retry resumes from its checkpoint."
    expected = finished(Phase.FAILED, ReasonCode.TIME_LIMIT, text, 1)
    assert outcome(job, replace(ENDED, ended_by=EndedBy.TIME_LIMIT)) == expected


def test_a_workflow_that_a_person_terminated_cancels_its_job() -> None:
    text = "Its workflow was terminated manually; a retry resumes from its checkpoint."
    expected = finished(Phase.CANCELLED, ReasonCode.WORKFLOW_DELETED, text, 1)
    assert outcome(JOB, replace(ENDED, ended_by=EndedBy.STOP)) == expected


def test_a_shutdown_of_the_system_does_not_count_towards_the_requeue_limit() -> None:
    expected = Requeue(Reason(ReasonCode.EVICTED, f"Stopped with the system; {RESUMES}"))
    assert outcome(JOB, replace(ENDED, ended_by=EndedBy.SHUTDOWN)) == expected


@pytest.mark.parametrize(
    "fields", [{"ended_by": EndedBy.EVICTION}, {"exit_code": 143, "ended_by": EndedBy.ITSELF}]
)
def test_an_eviction_counts_towards_the_requeue_limit(fields: dict[str, Any]) -> None:
    named = replace(ENDED, message="The node was drained", **fields)
    reason = Reason(ReasonCode.EVICTED, f"The node was drained; {RESUMES}")
    assert outcome(JOB, named) == Requeue(reason, counts=True)
    unnamed = Reason(ReasonCode.EVICTED, f"Its container was removed; {RESUMES}")
    assert outcome(JOB, replace(ENDED, **fields)) == Requeue(unnamed, counts=True)


def test_the_fourth_eviction_ends_a_job_unless_it_is_being_cancelled() -> None:
    last = replace(JOB, requeues=MAX_REQUEUES)
    text = (
        "Its container was removed (4 times in all); check the node, then retry the job: it "
        "resumes from its checkpoint."
    )
    assert evicted(last, ENDED) == finished(Phase.FAILED, ReasonCode.REQUEUE_LIMIT, text, 1)
    assert evicted(replace(last, requeues=4), ENDED) != evicted(last, ENDED)
    assert isinstance(evicted(replace(JOB, requeues=2), ENDED), Requeue)
    assert isinstance(evicted(replace(last, cancel_requested_at=NOW), ENDED), Requeue)


def test_a_job_whose_gpu_was_in_use_is_not_sent_to_that_node_for_a_while() -> None:
    text = "Requeued at the front: the GPU on gpu-1 was in use when the job started."
    expected = Requeue(Reason(ReasonCode.GPU_BUSY, text, "boom"), cool_down=True)
    assert outcome(JOB, replace(ENDED, exit_code=75)) == expected


@pytest.mark.parametrize(
    ("fields", "code", "message", "detail"),
    [
        (
            {"exit_code": 1},
            ReasonCode.TRAINING_FAILED,
            "The training ended with exit code 1.",
            "boom",
        ),
        (
            {"exit_code": 1, "message": "Out of disk."},
            ReasonCode.TRAINING_FAILED,
            "The training ended with exit code 1.",
            "boom",
        ),
        (
            {"exit_code": 1, "message": "The disk is full: sdX..", "log_tail": ()},
            ReasonCode.TRAINING_FAILED,
            "The training ended with exit code 1 (The disk is full: sdX).",
            "",
        ),
        (
            {"exit_code": 2},
            ReasonCode.BAD_CONFIG,
            "The training refused its configuration or data.",
            "boom",
        ),
        (
            {"exit_code": 2, "message": "No such file: X.", "log_tail": ()},
            ReasonCode.BAD_CONFIG,
            "The training refused its configuration or data (No such file: X).",
            "",
        ),
        (
            {"exit_code": None, "message": "No such template."},
            ReasonCode.TRAINING_FAILED,
            "The training did not run.",
            "boom",
        ),
        (
            {"exit_code": None, "message": "No such template.", "log_tail": ()},
            ReasonCode.TRAINING_FAILED,
            "The training did not run (No such template).",
            "",
        ),
        (
            {"exit_code": 137},
            ReasonCode.KILLED,
            "The training was killed by signal 9 (often the kernel, because memory ran out).",
            "",
        ),
        (
            {"exit_code": 137, "message": "It was killed by X."},
            ReasonCode.KILLED,
            "The training was killed by signal 9; It was killed by X.",
            "",
        ),
        (
            {"exit_code": 139},
            ReasonCode.KILLED,
            "The training was killed by signal 11.",
            "",
        ),
    ],
)
def test_a_failure_names_its_cause_and_quotes_the_last_line_of_the_log(
    fields: dict[str, Any], code: ReasonCode, message: str, detail: str
) -> None:
    workflow = replace(ENDED, **fields)
    result = Result(workflow.exit_code, workflow.log_tail)
    expected = Finish(Phase.FAILED, Reason(code, message, detail), result, NOW + 60, 60)
    assert outcome(JOB, workflow) == expected


@pytest.mark.parametrize(
    ("exit_code", "is_signal"), [(128, False), (129, True), (192, True), (193, False), (255, False)]
)
def test_exit_codes_129_to_192_are_signals(exit_code: int, is_signal: bool) -> None:
    end = outcome(JOB, replace(ENDED, exit_code=exit_code))
    code = ReasonCode.KILLED if is_signal else ReasonCode.TRAINING_FAILED
    assert isinstance(end, Finish)
    assert end.reason.code is code


@pytest.mark.parametrize(
    ("fields", "run_time_s"),
    [({}, 60), ({"started_at": None}, None), ({"finished_at": None}, None), ({"attempt": 2}, None)],
)
def test_only_a_first_attempt_with_both_times_has_a_run_time(
    fields: dict[str, Any], run_time_s: float | None
) -> None:
    end = outcome(JOB, replace(ENDED, **fields))
    assert isinstance(end, Finish)
    assert end.run_time_s == run_time_s


def test_a_job_to_be_cancelled_that_failed_by_itself_has_failed() -> None:
    job: Job = replace(TO_CANCEL, requeues=MAX_REQUEUES)
    end = outcome(job, ENDED)
    assert isinstance(end, Finish)
    assert (end.phase, end.reason.code) == (Phase.FAILED, ReasonCode.TRAINING_FAILED)
