"""Restore the record of a job that Redis has lost from its workflow: pure functions."""

import json
from dataclasses import dataclass, replace
from typing import Any

from jobqueue.clock import seconds
from jobqueue.job import Job, JobSpec, QueueEntry, check_whole
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.actions import Finish
from scheduler.decide.ended import outcome
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus

_RESTORED = "Redis had lost this job; its record was restored from its workflow."


@dataclass(frozen=True)
class Restored:
    """A restored job has its record, and its run time (s) if that is good for estimates."""

    job: Job
    run_time_s: float | None = None


def restored(workflow: WorkflowStatus, config_text: str, now: float) -> Restored:
    """Return the record that follows from a workflow with a submission.

    Raises CorruptEntry, KeyError, TypeError or ValueError if the submission cannot be read.
    """
    job = _job(workflow, config_text, now)
    return Restored(job) if workflow.is_live else _ended(job, workflow, now)


def _job(workflow: WorkflowStatus, config_text: str, now: float) -> Job:
    submission: Any = workflow.submission
    entry = QueueEntry.decode(json.dumps(submission["entry"], ensure_ascii=False))
    spec = JobSpec.from_hash({**submission, "config_text": config_text})
    check_whole(entry, spec)
    submitted_at, runs = seconds(f"{entry.timestamp}Z"), workflow.phase is WorkflowPhase.RUNNING
    return Job(
        job_id=entry.job_id,
        spec=spec,
        entry=entry.encode(),
        phase=Phase.RUNNING if runs or workflow.started_at else Phase.ADMITTED,
        reason=Reason(ReasonCode.RUNNING if runs else ReasonCode.STARTING, _RESTORED),
        submitted_at=submitted_at,
        queued_at=submitted_at,
        admitted_at=workflow.started_at or now,
        started_at=workflow.started_at or (now if runs else None),
        attempt=workflow.attempt,
        engine=workflow.engine or None,
        node=workflow.node,
        gpu_uuids=workflow.gpu_uuids,
        workflow_name=workflow.name,
        workflow_uid=workflow.uid,
    )


def _ended(job: Job, workflow: WorkflowStatus, now: float) -> Restored:
    """Return the record as it would have been finished.

    Nobody knows whether a job that was evicted has been queued again since: it is failed.
    """
    end = outcome(job, workflow)
    at = workflow.finished_at or workflow.started_at or now
    if isinstance(end, Finish):
        ended = replace(job, phase=end.phase, reason=end.reason, result=end.result, finished_at=at)
        return Restored(ended, end.run_time_s)
    text = "Its container was removed, and then Redis lost the job; a retry resumes from its "
    reason = Reason(ReasonCode.EVICTED, f"{text}checkpoint.")
    return Restored(replace(job, phase=Phase.FAILED, reason=reason, finished_at=at))
