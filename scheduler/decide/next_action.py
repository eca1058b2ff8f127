"""What follows from how a job's workflow stands: pure decisions, which the loop then makes so."""

from collections.abc import Collection
from dataclasses import replace

from jobqueue.clock import rfc3339
from jobqueue.job import Job, Result
from jobqueue.phase import Phase
from jobqueue.reason import NO_KNOWN_END, Reason, ReasonCode
from scheduler.decide.actions import (
    Action,
    Delete,
    Explain,
    ExtendStart,
    Finish,
    MarkRunning,
    RecordWorkflow,
    Requeue,
    Stop,
)
from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus

#: How often a job may be evicted before it is given up; a person's retry starts the count anew.
MAX_REQUEUES = 3

EXIT_BAD_CONFIG = 2
EXIT_GPU_BUSY = 75
EXIT_TERMINATED = 143  # 128 + SIGTERM
_LAST_SIGNAL = 64


def decide(
    job: Job,
    workflow: WorkflowStatus | None,
    now: float,
    start_deadline_s: float = 600,
    was_unanswered: bool = False,
    dead: Collection[str] = (),
) -> list[Action]:
    """What to do about an admitted or running job whose workflow stands like this (None: the engine has none).

    `was_unanswered`: the engine gave no answer when it was to make it, which is not the job's fault; `dead`: the nodes
    that an admin has declared dead.
    """
    if job.withdrawn_uid is not None:
        left = _withdrawn(job, workflow, dead)
        if left is not None:
            return [left]
    if workflow is None:
        return [_without_workflow(job, was_unanswered)]
    if workflow.job_id != job.job_id or job.workflow_uid not in (None, workflow.uid):
        text = f"The name {workflow.name} is taken by an object that is not this job's; remove it, then retry the job."
        return [Finish(Phase.FAILED, Reason(ReasonCode.NAME_TAKEN, text))]
    record: list[Action] = [] if job.workflow_uid else [RecordWorkflow(workflow)]
    if workflow.node_lost:
        return record + _lost(job, workflow, dead, now)
    if workflow.is_live:
        return record + _live(job, workflow, now, start_deadline_s)
    return record + _ended(job, workflow)


def gives_up(actions: Collection[Action]) -> bool:
    """Whether a job is failed because its container did not start in time."""
    return any(
        isinstance(each, Finish) and each.reason.code is ReasonCode.START_DEADLINE
        for each in actions
    )


def is_gone(workflow: WorkflowStatus, dead: Collection[str]) -> bool:
    """Whether its node is lost and an admin has declared it dead: then nothing of the workflow runs any more."""
    return workflow.node_lost and workflow.node in dead


def _without_workflow(job: Job, was_unanswered: bool) -> Action:
    if job.workflow_uid is None and was_unanswered:
        text = "The engine did not answer when the workflow was to be made, and has none; the job is next again."
        return Requeue(Reason(ReasonCode.ENGINE_UNREACHABLE, text), attempt=False)
    if job.workflow_uid is None:
        text = "The scheduler stopped before it had made the workflow; the job is next again."
        return Requeue(Reason(ReasonCode.SCHEDULER_RESTARTED, text), attempt=False, breaks=True)
    text = f"Its workflow {job.workflow_name} was deleted by hand; a retry goes on from its checkpoint."
    return Finish(Phase.CANCELLED, Reason(ReasonCode.WORKFLOW_DELETED, text))


def _withdrawn(job: Job, workflow: WorkflowStatus | None, dead: Collection[str]) -> Action | None:
    """What is left of a withdrawal; None where its workflow has started after all, and goes the way of any other."""
    if workflow is None or workflow.uid != job.withdrawn_uid:
        has_started = (
            job.phase is Phase.RUNNING
        )  # it may have, between the last look and the deletion
        is_short = job.reason.code is not ReasonCode.UNSCHEDULABLE
        why = "had no GPU to give it" if is_short else "did not take it"
        code = ReasonCode.SHORT_OF_GPUS if is_short else ReasonCode.UNSCHEDULABLE
        text = f"Withdrawn from {job.node}, which {why}; it is next again."
        return Requeue(Reason(code, text), attempt=has_started, avoid_node=True)
    is_waiting = workflow.phase is WorkflowPhase.PENDING and not is_gone(workflow, dead)
    return Delete(workflow) if is_waiting else None


def _lost(job: Job, workflow: WorkflowStatus, dead: Collection[str], now: float) -> list[Action]:
    """Nobody can say whether it runs: it keeps its slot until the node answers again, or an admin says it is off."""
    node = workflow.node or job.node or "its node"
    actions: list[Action] = (
        [_mark_running(job, workflow)] if _has_just_started(job, workflow) else []
    )
    if job.cancel_requested_at is not None or is_gone(workflow, dead):
        actions.append(Stop(workflow))
    if is_gone(workflow, dead):
        declared = replace(workflow, message=f"The node {node} was declared dead")
        return [*actions, _evicted(job, declared)]
    if job.reason.code is ReasonCode.NODE_LOST:  # it says since when
        return actions
    said = workflow.message.rstrip(".") or f"The node {node} does not answer"
    text = f"{said}, since {rfc3339(now)}; when it is certain that it is off: gpuq admin node dead {node}"
    return [*actions, Explain(Reason(ReasonCode.NODE_LOST, text))]


def _live(job: Job, workflow: WorkflowStatus, now: float, start_deadline_s: float) -> list[Action]:
    actions: list[Action] = (
        [_mark_running(job, workflow)] if _has_just_started(job, workflow) else []
    )
    if job.cancel_requested_at is not None:
        actions.append(Stop(workflow))
        if job.reason.code in (ReasonCode.NODE_LOST, ReasonCode.CONTROLLER_DOWN):
            text = "A cancel was asked for; the training is being stopped."
            actions.append(Explain(Reason(ReasonCode.CANCELLING, text)))
    elif workflow.phase is WorkflowPhase.PENDING:
        actions += _pending(job, workflow, now, start_deadline_s)
    elif job.reason.code in (
        ReasonCode.RUNNING,
        ReasonCode.NODE_LOST,
        ReasonCode.CONTROLLER_DOWN,
    ):
        reason = Reason(
            ReasonCode.RUNNING, workflow.message or _runs_on(job, workflow)
        )  # suspended by hand, say
        actions += [Explain(reason)] if reason != job.reason else []
    return actions


def _pending(
    job: Job, workflow: WorkflowStatus, now: float, start_deadline_s: float
) -> list[Action]:
    text = workflow.message or f"Starting on {job.node}; no container runs yet."
    if workflow.short_of_gpus:  # the founding document's "GPU short -> keep waiting"
        short = f"{job.node} has no GPU to give it now; it starts when one is given back: {text}"
        return [Explain(Reason(ReasonCode.SHORT_OF_GPUS, short))]
    if workflow.unschedulable:
        away = (
            f"{job.node} does not take it now; it starts when that, or another node, does: {text}"
        )
        return [Explain(Reason(ReasonCode.UNSCHEDULABLE, away))]
    if workflow.unattended:
        return [Explain(Reason(ReasonCode.CONTROLLER_DOWN, text))]
    starting = Explain(Reason(ReasonCode.STARTING, text))
    if (
        job.reason.code in NO_KNOWN_END
    ):  # none of it is its fault: its deadline counts from the end of it
        return [ExtendStart(), starting]
    if now - (job.waited_until or job.admitted_at or now) > start_deadline_s:
        late = f"Its container did not start within {start_deadline_s:g} s: {text}"
        return [Stop(workflow), Finish(Phase.FAILED, Reason(ReasonCode.START_DEADLINE, late))]
    return [starting]


def _ended(job: Job, workflow: WorkflowStatus) -> list[Action]:
    seen: list[Action] = (
        [_mark_running(job, workflow)]
        if job.phase is Phase.ADMITTED and workflow.started_at
        else []
    )
    if workflow.phase is WorkflowPhase.SUCCEEDED:
        if job.phase is Phase.ADMITTED and not seen:
            seen = [_mark_running(job, workflow)]
        reason = Reason(ReasonCode.SUCCEEDED, "The training finished.")
        return [*seen, _finish(Phase.SUCCEEDED, reason, workflow)]
    return [*seen, _failed(job, workflow)]


def _has_just_started(job: Job, workflow: WorkflowStatus) -> bool:
    return workflow.phase is WorkflowPhase.RUNNING and job.phase is Phase.ADMITTED


def _mark_running(job: Job, workflow: WorkflowStatus) -> MarkRunning:
    return MarkRunning(workflow.started_at, _runs_on(job, workflow))


def _runs_on(job: Job, workflow: WorkflowStatus) -> str:
    return f"Running on {workflow.node or job.node}."


def _failed(job: Job, workflow: WorkflowStatus) -> Action:
    code, by = workflow.exit_code, workflow.ended_by
    stopped = by is EndedBy.STOP or code == EXIT_TERMINATED
    if job.cancel_requested_at is not None and stopped:
        return _finish(
            Phase.CANCELLED, Reason(ReasonCode.CANCELLED, "Cancelled by its user."), workflow
        )
    if by is EndedBy.TIME_LIMIT:
        limit = (
            "its template's time limit"
            if job.spec.time_limit_s is None
            else f"{job.spec.time_limit_s} s"
        )
        text = f"Stopped at its time limit ({limit}); a retry goes on from its checkpoint."
        return _finish(Phase.FAILED, Reason(ReasonCode.TIME_LIMIT, text), workflow)
    if by is EndedBy.STOP:
        text = "Its workflow was terminated by hand; a retry goes on from its checkpoint."
        return _finish(Phase.CANCELLED, Reason(ReasonCode.WORKFLOW_DELETED, text), workflow)
    if by is EndedBy.SHUTDOWN:
        return Requeue(
            Reason(
                ReasonCode.EVICTED,
                "Stopped with the system; it is next and resumes from its checkpoint.",
            )
        )
    if by is EndedBy.EVICTION or code == EXIT_TERMINATED:
        return _evicted(job, workflow)
    if code == EXIT_GPU_BUSY:
        said = f": {workflow.log_tail[-1].strip()}" if workflow.log_tail else "."
        text = (
            f"It is next again, because what it needs on {job.node} was taken when it started{said}"
        )
        return Requeue(Reason(ReasonCode.GPU_BUSY, text), avoid_node=True)
    return _finish(Phase.FAILED, _why_failed(workflow), workflow)


def _evicted(job: Job, workflow: WorkflowStatus) -> Action:
    why = workflow.message or "Its container was taken away"
    if job.requeues >= MAX_REQUEUES and job.cancel_requested_at is None:
        text = f"{why}, for the {job.requeues + 1}th time; look at the node, then retry: it goes on from its checkpoint."
        return _finish(Phase.FAILED, Reason(ReasonCode.REQUEUE_LIMIT, text), workflow)
    return Requeue(
        Reason(ReasonCode.EVICTED, f"{why}; it is next and resumes from its checkpoint."),
        counts=True,
    )


def _why_failed(workflow: WorkflowStatus) -> Reason:
    code = workflow.exit_code
    said = workflow.log_tail[-1].strip() if workflow.log_tail else workflow.message
    last = f": {said}" if said else "."
    if code == EXIT_BAD_CONFIG:
        return Reason(
            ReasonCode.BAD_CONFIG, f"The training refused its configuration or data{last}"
        )
    if code is None:  # no container of it ever ran: what the engine says is all there is
        return Reason(ReasonCode.TRAINING_FAILED, f"The training did not run{last}")
    if 128 < code <= 128 + _LAST_SIGNAL:
        hint = " (often the kernel, for want of memory)" if code == 137 else ""
        why = f"; {workflow.message}" if workflow.message else hint
        return Reason(ReasonCode.KILLED, f"The training was killed by signal {code - 128}{why}.")
    return Reason(ReasonCode.TRAINING_FAILED, f"The training ended with exit code {code}{last}")


def _finish(phase: Phase, reason: Reason, workflow: WorkflowStatus) -> Finish:
    began, ended = workflow.started_at, workflow.finished_at
    # A later attempt resumes from a checkpoint: how long it took tells nothing about a whole training.
    whole = began is not None and ended is not None and workflow.attempt == 1
    ran = ended - began if whole and began is not None and ended is not None else None
    return Finish(phase, reason, Result(workflow.exit_code, workflow.log_tail), ended, ran)
