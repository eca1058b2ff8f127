"""Decide what follows for a job when its workflow has ended: pure functions."""

from jobqueue.job import Job, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.actions import Finish, Requeue
from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus

#: How often a job may be evicted before it fails; a retry by a person resets the count.
MAX_REQUEUES = 3

EXIT_BAD_CONFIG = 2
EXIT_GPU_BUSY = 75
EXIT_KILLED = 137  # 128 + SIGKILL
EXIT_TERMINATED = 143  # 128 + SIGTERM
_SIGNALS = range(129, 193)  # exit codes of a program that a signal ended

_RESUMES = "a retry resumes from its checkpoint."


def outcome(job: Job, workflow: WorkflowStatus) -> Finish | Requeue:
    """Return how the job finishes, or why it is queued again."""
    if workflow.phase is WorkflowPhase.SUCCEEDED:
        reason = Reason(ReasonCode.SUCCEEDED, "The training finished.")
        return _finish(Phase.SUCCEEDED, reason, workflow)
    stopped = workflow.ended_by is EndedBy.STOP or workflow.exit_code == EXIT_TERMINATED
    if job.cancel_requested_at is not None and stopped:
        reason = Reason(ReasonCode.CANCELLED, "Cancelled by its user.")
        return _finish(Phase.CANCELLED, reason, workflow)
    return _ended_by_others(job, workflow) or _ended_by_itself(job, workflow)


def evicted(job: Job, workflow: WorkflowStatus) -> Finish | Requeue:
    """Return what follows when the cluster, or a crash, removed the job's container."""
    why = workflow.message or "Its container was removed"
    if job.requeues >= MAX_REQUEUES and job.cancel_requested_at is None:
        times = f"{why} ({job.requeues + 1} times in all)"
        text = f"{times}; check the node, then retry the job: it resumes from its checkpoint."
        return _finish(Phase.FAILED, Reason(ReasonCode.REQUEUE_LIMIT, text), workflow)
    text = f"{why}; requeued at the front to resume from its checkpoint."
    return Requeue(Reason(ReasonCode.EVICTED, text), counts=True)


def _ended_by_others(job: Job, workflow: WorkflowStatus) -> Finish | Requeue | None:
    match workflow.ended_by:
        case EndedBy.TIME_LIMIT:
            seconds = job.spec.time_limit_s
            limit = "its template's time limit" if seconds is None else f"{seconds} s"
            text = f"Stopped at its time limit ({limit}); {_RESUMES}"
            return _finish(Phase.FAILED, Reason(ReasonCode.TIME_LIMIT, text), workflow)
        case EndedBy.STOP:
            reason = Reason(
                ReasonCode.WORKFLOW_DELETED, f"Its workflow was terminated manually; {_RESUMES}"
            )
            return _finish(Phase.CANCELLED, reason, workflow)
        case EndedBy.SHUTDOWN:
            text = "Stopped with the system; requeued at the front to resume from its checkpoint."
            return Requeue(Reason(ReasonCode.EVICTED, text))
        case EndedBy.EVICTION:
            return evicted(job, workflow)
    return None


def _ended_by_itself(job: Job, workflow: WorkflowStatus) -> Finish | Requeue:
    if workflow.exit_code == EXIT_TERMINATED:
        return evicted(job, workflow)
    if workflow.exit_code == EXIT_GPU_BUSY:
        text = f"Requeued at the front: the GPU on {job.node} was in use when the job started."
        reason = Reason(ReasonCode.GPU_BUSY, text, _last_line(workflow))
        return Requeue(reason, cool_down=True)
    return _finish(Phase.FAILED, _why_failed(workflow), workflow)


def _why_failed(workflow: WorkflowStatus) -> Reason:
    code = workflow.exit_code
    if code is not None and code in _SIGNALS:
        return Reason(ReasonCode.KILLED, _killed(code, workflow.message))
    # The engine's message may quote the log too (terminationMessagePolicy): only its user sees it.
    detail = _last_line(workflow) or workflow.message
    if code is None:  # no container of it ever ran
        return Reason(ReasonCode.TRAINING_FAILED, "The training did not run.", detail)
    if code == EXIT_BAD_CONFIG:
        text = "The training refused its configuration or data."
        return Reason(ReasonCode.BAD_CONFIG, text, detail)
    text = f"The training ended with exit code {code}."
    return Reason(ReasonCode.TRAINING_FAILED, text, detail)


def _killed(code: int, message: str) -> str:
    hint = " (often the kernel, because memory ran out)" if code == EXIT_KILLED else ""
    why = f"; {message.rstrip('.')}" if message else hint
    return f"The training was killed by signal {code - 128}{why}."


def _last_line(workflow: WorkflowStatus) -> str:
    return workflow.log_tail[-1].strip() if workflow.log_tail else ""


def _finish(phase: Phase, reason: Reason, workflow: WorkflowStatus) -> Finish:
    result = Result(workflow.exit_code, workflow.log_tail)
    return Finish(phase, reason, result, workflow.finished_at, _run_time_s(workflow))


def _run_time_s(workflow: WorkflowStatus) -> float | None:
    """Return how long the whole training took, in seconds.

    A later attempt resumes from a checkpoint, so its run time says nothing about a whole training.
    """
    began, ended = workflow.started_at, workflow.finished_at
    if began is None or ended is None or workflow.attempt != 1:
        return None
    return ended - began
