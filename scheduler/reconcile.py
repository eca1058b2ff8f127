"""What follows from how a job's workflow stands: pure decisions, which the loop then makes so."""

from dataclasses import dataclass

from jobqueue.job import Job, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.engine import EndedBy, WorkflowPhase, WorkflowStatus

#: How often a job may be evicted before it is given up; a person's retry starts the count anew.
MAX_REQUEUES = 3

EXIT_BAD_CONFIG = 2
EXIT_GPU_BUSY = 75
EXIT_TERMINATED = 143  # 128 + SIGTERM


NO_RESULT = Result()


@dataclass(frozen=True)
class RecordWorkflow:
    """The workflow is ours, but its uid stands in no record yet."""

    workflow: WorkflowStatus


@dataclass(frozen=True)
class MarkRunning:
    at: float | None
    message: str


@dataclass(frozen=True)
class Explain:
    """The phase stays; say why."""

    reason: Reason


@dataclass(frozen=True)
class Stop:
    workflow: WorkflowStatus


@dataclass(frozen=True)
class Requeue:
    reason: Reason
    attempt: bool = True
    counts: bool = False
    breaks: bool = False
    avoid_node: bool = False


@dataclass(frozen=True)
class Finish:
    phase: Phase
    reason: Reason
    result: Result = NO_RESULT
    at: float | None = None
    run_time_s: float | None = None


Action = RecordWorkflow | MarkRunning | Explain | Stop | Requeue | Finish


def decide(
    job: Job,
    workflow: WorkflowStatus | None,
    now: float,
    start_deadline_s: float = 600,
    was_unanswered: bool = False,
) -> list[Action]:
    """What to do about an admitted or running job whose workflow stands like this (None: the engine has none).

    `was_unanswered`: the engine gave no answer when it was to make it, which is not the job's fault.
    """
    if workflow is None:
        return [_without_workflow(job, was_unanswered)]
    if workflow.job_id != job.job_id or job.workflow_uid not in (None, workflow.uid):
        text = f"The name {workflow.name} is taken by an object that is not this job's; remove it, then retry the job."
        return [Finish(Phase.FAILED, Reason(ReasonCode.NAME_TAKEN, text))]
    record: list[Action] = [] if job.workflow_uid else [RecordWorkflow(workflow)]
    if workflow.is_live:
        return record + _live(job, workflow, now, start_deadline_s)
    return record + _ended(job, workflow)


def _without_workflow(job: Job, was_unanswered: bool) -> Action:
    if job.workflow_uid is None and was_unanswered:
        text = "The engine did not answer when the workflow was to be made, and has none; the job is next again."
        return Requeue(Reason(ReasonCode.ENGINE_UNAVAILABLE, text), attempt=False)
    if job.workflow_uid is None:
        text = "The scheduler stopped before it had made the workflow; the job is next again."
        return Requeue(Reason(ReasonCode.SCHEDULER_RESTARTED, text), attempt=False, breaks=True)
    text = f"Its workflow {job.workflow_name} was deleted by hand; a retry goes on from its checkpoint."
    return Finish(Phase.CANCELLED, Reason(ReasonCode.WORKFLOW_DELETED, text))


def _live(job: Job, workflow: WorkflowStatus, now: float, start_deadline_s: float) -> list[Action]:
    actions: list[Action] = []
    if workflow.phase is WorkflowPhase.RUNNING and job.phase is Phase.ADMITTED:
        actions.append(_mark_running(job, workflow))
    if job.cancel_requested_at is not None:
        actions.append(Stop(workflow))
    elif workflow.phase is WorkflowPhase.PENDING:
        text = workflow.message or f"Starting on {job.node}; no container runs yet."
        if now - (job.admitted_at or now) > start_deadline_s:
            late = f"Its container did not start within {start_deadline_s:g} s: {text}"
            return [Stop(workflow), Finish(Phase.FAILED, Reason(ReasonCode.START_DEADLINE, late))]
        actions.append(Explain(Reason(ReasonCode.STARTING, text)))
    return actions


def _ended(job: Job, workflow: WorkflowStatus) -> list[Action]:
    seen: list[Action] = [_mark_running(job, workflow)] if job.phase is Phase.ADMITTED and workflow.started_at else []
    if workflow.phase is WorkflowPhase.SUCCEEDED:
        if job.phase is Phase.ADMITTED and not seen:
            seen = [_mark_running(job, workflow)]
        reason = Reason(ReasonCode.SUCCEEDED, "The training finished.")
        return [*seen, _finish(Phase.SUCCEEDED, reason, workflow)]
    return [*seen, _failed(job, workflow)]


def _mark_running(job: Job, workflow: WorkflowStatus) -> MarkRunning:
    return MarkRunning(workflow.started_at, f"Running on {workflow.node or job.node}.")


def _failed(job: Job, workflow: WorkflowStatus) -> Action:
    code, by = workflow.exit_code, workflow.ended_by
    stopped = by is EndedBy.STOP or code == EXIT_TERMINATED
    if job.cancel_requested_at is not None and stopped:
        return _finish(Phase.CANCELLED, Reason(ReasonCode.CANCELLED, "Cancelled by its user."), workflow)
    if by is EndedBy.TIME_LIMIT:
        text = f"Stopped at its time limit of {job.spec.time_limit_s} s; a retry goes on from its checkpoint."
        return _finish(Phase.FAILED, Reason(ReasonCode.TIME_LIMIT, text), workflow)
    if by is EndedBy.STOP:
        text = "Its workflow was terminated by hand; a retry goes on from its checkpoint."
        return _finish(Phase.CANCELLED, Reason(ReasonCode.WORKFLOW_DELETED, text), workflow)
    if by is EndedBy.SHUTDOWN:
        return Requeue(
            Reason(ReasonCode.EVICTED, "Stopped with the system; it is next and resumes from its checkpoint.")
        )
    if by is EndedBy.EVICTION or code == EXIT_TERMINATED:
        return _evicted(job, workflow)
    if code == EXIT_GPU_BUSY:
        said = f": {workflow.log_tail[-1].strip()}" if workflow.log_tail else "."
        text = f"It is next again, because what it needs on {job.node} was taken when it started{said}"
        return Requeue(Reason(ReasonCode.GPU_BUSY, text), avoid_node=True)
    return _finish(Phase.FAILED, _why_failed(workflow), workflow)


def _evicted(job: Job, workflow: WorkflowStatus) -> Action:
    why = workflow.message or "Its container was taken away"
    if job.requeues >= MAX_REQUEUES:
        text = (
            f"{why}, for the {job.requeues + 1}th time; look at the node, then retry: it goes on from its checkpoint."
        )
        return _finish(Phase.FAILED, Reason(ReasonCode.REQUEUE_LIMIT, text), workflow)
    return Requeue(Reason(ReasonCode.EVICTED, f"{why}; it is next and resumes from its checkpoint."), counts=True)


def _why_failed(workflow: WorkflowStatus) -> Reason:
    code = workflow.exit_code
    said = workflow.log_tail[-1].strip() if workflow.log_tail else workflow.message
    last = f": {said}" if said else "."
    if code == EXIT_BAD_CONFIG:
        return Reason(ReasonCode.BAD_CONFIG, f"The training refused its configuration or data{last}")
    if code is not None and code > 128:
        hint = " (often the kernel, for want of memory)" if code == 137 else ""
        return Reason(ReasonCode.KILLED, f"The training was killed by signal {code - 128}{hint}.")
    return Reason(ReasonCode.TRAINING_FAILED, f"The training ended with exit code {code}{last}")


def _finish(phase: Phase, reason: Reason, workflow: WorkflowStatus) -> Finish:
    began, ended = workflow.started_at, workflow.finished_at
    # A later attempt resumes from a checkpoint: how long it took tells nothing about a whole training.
    whole = began is not None and ended is not None and workflow.attempt == 1
    ran = ended - began if whole and began is not None and ended is not None else None
    return Finish(phase, reason, Result(workflow.exit_code, workflow.log_tail), ended, ran)
