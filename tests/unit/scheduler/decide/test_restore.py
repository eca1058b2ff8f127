"""The record of a job that Redis has lost, from what its workflow carries."""

import json
from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job
from jobqueue.clock import seconds
from jobqueue.errors import CorruptEntry
from jobqueue.job import Job, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.restore import Restored, restored
from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus

SUBMITTED_AT = seconds("2026-11-24T12:00:00Z")
LOST = make_job(
    phase=Phase.RUNNING,
    reason=Reason(
        ReasonCode.RUNNING, "Redis had lost this job; its record was restored from its workflow."
    ),
    spec_gpus=2,
    spec_name="größer",
    spec_time_limit_s=60,
    submitted_at=SUBMITTED_AT,
    queued_at=SUBMITTED_AT,
    admitted_at=NOW - 90,
    started_at=NOW - 90,
    attempt=2,
    engine="argo",
    node="gpu-1",
    gpu_uuids=("GPU-a", "GPU-b"),
    workflow_name="w",
    workflow_uid="uid",
)
SUBMISSION: dict[str, Any] = {"entry": json.loads(LOST.entry), **LOST.spec.to_hash()}
del SUBMISSION["config_text"]  # the engine keeps it elsewhere
LIVE = WorkflowStatus(
    "w",
    "uid",
    LOST.job_id,
    2,
    WorkflowPhase.RUNNING,
    "gpu-1",
    ("GPU-a", "GPU-b"),
    started_at=NOW - 90,
    submission=SUBMISSION,
    engine="argo",
)
STARTING = Reason(ReasonCode.STARTING, LOST.reason.message)
DONE = replace(
    LIVE,
    phase=WorkflowPhase.SUCCEEDED,
    attempt=1,
    exit_code=0,
    finished_at=NOW - 30,
    log_tail=("done",),
)


def restore(workflow: WorkflowStatus) -> Restored:
    return restored(workflow, LOST.spec.config_text, NOW)


def test_a_running_job_is_restored_as_it_was() -> None:
    assert restore(LIVE) == Restored(LOST)
    assert restore(LIVE).run_time_s is None


@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        (
            {"phase": WorkflowPhase.PENDING, "started_at": None},
            {"phase": Phase.ADMITTED, "reason": STARTING, "admitted_at": NOW, "started_at": None},
        ),
        ({"phase": WorkflowPhase.PENDING}, {"reason": STARTING}),
        ({"started_at": None}, {"admitted_at": NOW, "started_at": NOW}),
        ({"engine": ""}, {"engine": None}),
    ],
)
def test_what_the_workflow_does_not_have_is_taken_from_the_present(
    fields: dict[str, Any], changed: dict[str, Any]
) -> None:
    assert restore(replace(LIVE, **fields)) == Restored(replace(LOST, **changed))


def test_an_ended_job_is_finished_and_its_run_time_counts() -> None:
    expected: Job = replace(
        LOST,
        phase=Phase.SUCCEEDED,
        reason=Reason(ReasonCode.SUCCEEDED, "The training finished."),
        attempt=1,
        finished_at=NOW - 30,
        result=Result(0, ("done",)),
    )
    assert restore(DONE) == Restored(expected, 60)


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({}, NOW - 30),
        ({"finished_at": None}, NOW - 90),
        ({"finished_at": None, "started_at": None}, NOW),
    ],
)
def test_the_end_is_when_it_was_seen_at_the_latest(fields: dict[str, Any], at: float) -> None:
    assert restore(replace(DONE, **fields)).job.finished_at == at


def test_an_evicted_job_has_failed_because_it_may_have_been_queued_again() -> None:
    workflow = replace(DONE, phase=WorkflowPhase.FAILED, exit_code=143, ended_by=EndedBy.EVICTION)
    text = "Its container was removed, and then Redis lost the job; a retry resumes from its "
    expected = replace(
        LOST,
        phase=Phase.FAILED,
        reason=Reason(ReasonCode.EVICTED, f"{text}checkpoint."),
        attempt=1,
        finished_at=NOW - 30,
    )
    assert restore(workflow) == Restored(expected)


@pytest.mark.parametrize(
    "submission",
    [
        {**SUBMISSION, "user": "bob"},
        {**SUBMISSION, "gpus": "many"},
        {"entry": SUBMISSION["entry"]},
        {**SUBMISSION, "entry": {}},
        {},
        None,
    ],
)
def test_a_submission_that_cannot_be_read_is_an_error(submission: dict[str, Any] | None) -> None:
    with pytest.raises((CorruptEntry, KeyError, TypeError, ValueError)):
        restore(replace(LIVE, submission=submission))
