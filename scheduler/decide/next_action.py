"""Decide what to do about an admitted or running job, from the state of its workflow.

`ended.py` decides about a workflow that has ended, this file about all others.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from jobqueue.clock import rfc3339
from jobqueue.job import Job
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
from scheduler.decide.ended import evicted, outcome
from scheduler.engines.contract import Obstacle, WorkflowPhase, WorkflowStatus

#: A running job leaves these reasons as soon as its engine reports that it runs.
_CLEARED_BY_RUNNING = frozenset(
    {
        ReasonCode.RUNNING,
        ReasonCode.NODE_LOST,
        ReasonCode.CONTROLLER_DOWN,
        ReasonCode.ENGINE_UNREACHABLE,
        ReasonCode.OBJECT_REFUSED,
    }
)


@dataclass(frozen=True)
class Conditions:
    """A decision about a job depends on these conditions, besides the job and its workflow."""

    now: float  #: seconds since the epoch
    start_deadline_s: float = 600
    is_unanswered: bool = False  #: the engine did not answer the create of this attempt
    dead_nodes: Collection[str] = ()  #: nodes that an admin has declared dead


def next_actions(job: Job, workflow: WorkflowStatus | None, conditions: Conditions) -> list[Action]:
    """Return what to do about a job; `workflow` is None if its engine has none."""
    if job.withdrawn_uid is not None:
        rest = _withdrawn(job, workflow, conditions)
        if rest is not None:
            return [rest]
    if workflow is None:
        return [_without_workflow(job, conditions)]
    if workflow.job_id != job.job_id or job.workflow_uid not in (None, workflow.uid):
        return [Finish(Phase.FAILED, name_taken(workflow.name))]
    record: list[Action] = [] if job.workflow_uid else [RecordWorkflow(workflow)]
    if workflow.obstacle is Obstacle.NODE_LOST:
        return record + _lost(job, workflow, conditions)
    if workflow.is_live:
        return record + _live(job, workflow, conditions)
    return record + _ended(job, workflow)


def name_taken(name: str) -> Reason:
    """Return the reason of a job whose workflow name belongs to another object."""
    text = f"The name {name} is taken by an object that does not belong to this job; remove it, "
    return Reason(ReasonCode.NAME_TAKEN, f"{text}then retry the job.")


def missed_start_deadline(actions: Collection[Action]) -> bool:
    """Return whether the job is failed because its container did not start in time."""
    return any(
        isinstance(each, Finish) and each.reason.code is ReasonCode.START_DEADLINE
        for each in actions
    )


def is_gone(workflow: WorkflowStatus, dead_nodes: Collection[str]) -> bool:
    """Return whether its node is lost and declared dead: then nothing of it runs any more."""
    return workflow.obstacle is Obstacle.NODE_LOST and workflow.node in dead_nodes


def _without_workflow(job: Job, conditions: Conditions) -> Action:
    if job.workflow_uid is not None:
        text = f"Its workflow {job.workflow_name} was deleted manually; a retry resumes from its "
        reason = Reason(ReasonCode.WORKFLOW_DELETED, f"{text}checkpoint.")
        return Finish(Phase.CANCELLED, reason)
    if conditions.is_unanswered:
        text = (
            "Requeued at the front: the engine did not respond to the create, and has no workflow."
        )
        return Requeue(Reason(ReasonCode.ENGINE_UNREACHABLE, text), attempt=False)
    text = "Requeued at the front: the scheduler stopped before it had created the workflow."
    return Requeue(Reason(ReasonCode.SCHEDULER_RESTARTED, text), attempt=False, breaks=True)


def _withdrawn(job: Job, workflow: WorkflowStatus | None, conditions: Conditions) -> Action | None:
    """Return the rest of a withdrawal; None if the workflow has started after all."""
    if workflow is None or workflow.uid != job.withdrawn_uid:
        # It may have started between the last check and the deletion.
        has_started = job.phase is Phase.RUNNING
        return Requeue(_why_withdrawn(job), attempt=has_started, cool_down=True)
    is_waiting = workflow.phase is WorkflowPhase.PENDING
    may_delete = is_waiting and not is_gone(workflow, conditions.dead_nodes)
    return Delete(workflow) if may_delete else None


def _why_withdrawn(job: Job) -> Reason:
    begin = f"Requeued at the front: {job.node}"
    if job.reason.code is ReasonCode.UNSCHEDULABLE:
        return Reason(ReasonCode.UNSCHEDULABLE, f"{begin} did not accept the job.")
    return Reason(ReasonCode.SHORT_OF_GPUS, f"{begin} had no free GPU for the job.")


def _lost(job: Job, workflow: WorkflowStatus, conditions: Conditions) -> list[Action]:
    """Keep the job's slot until its node is back or declared dead: it may still run there."""
    node = workflow.node or job.node or "its node"
    actions = _just_started(job, workflow)
    is_dead = is_gone(workflow, conditions.dead_nodes)
    if job.cancel_requested_at is not None or is_dead:
        actions.append(Stop(workflow))
    if is_dead:
        declared = replace(workflow, message=f"The node {node} was declared dead")
        return [*actions, evicted(job, declared)]
    if job.reason.code is ReasonCode.NODE_LOST:  # its message has the time of the first time
        return actions
    why = workflow.message.rstrip(".") or f"The node {node} is not responding"
    text = f"{why} (first seen {rfc3339(conditions.now)}); if it is certain that it is off, run: "
    lost = Reason(ReasonCode.NODE_LOST, f"{text}gpuq admin node dead {node}")
    return [*actions, Explain(lost)]


def _live(job: Job, workflow: WorkflowStatus, conditions: Conditions) -> list[Action]:
    actions = _just_started(job, workflow)
    if job.cancel_requested_at is not None:
        return [*actions, Stop(workflow), *_cancelling(job)]
    if workflow.phase is WorkflowPhase.PENDING:
        return actions + _pending(job, workflow, conditions)
    runs = Reason(ReasonCode.RUNNING, workflow.message or _runs_on(job, workflow))
    if job.reason.code in _CLEARED_BY_RUNNING and runs != job.reason:
        actions.append(Explain(runs))
    return actions


def _cancelling(job: Job) -> list[Action]:
    """Explain that the job is being stopped, if its reason no longer applies."""
    if job.reason.code not in _CLEARED_BY_RUNNING - {ReasonCode.RUNNING}:
        return []
    return [Explain(Reason(ReasonCode.CANCELLING, "Cancel requested; the job is being stopped."))]


def _pending(job: Job, workflow: WorkflowStatus, conditions: Conditions) -> list[Action]:
    text = workflow.message or f"Starting on {job.node}; no container runs yet."
    if workflow.obstacle is not Obstacle.NONE:
        return [Explain(_obstructed(job, workflow.obstacle, text))]
    starting = Explain(Reason(ReasonCode.STARTING, text))
    # Nothing of that kind was the job's fault: its deadline counts from the end of it.
    if job.reason.code in NO_KNOWN_END:
        return [ExtendStart(), starting]
    since = job.waited_until or job.admitted_at or conditions.now
    if conditions.now - since > conditions.start_deadline_s:
        late = f"Its container did not start within {conditions.start_deadline_s:g} s ({text})"
        reason = Reason(ReasonCode.START_DEADLINE, late)
        return [Stop(workflow), Finish(Phase.FAILED, reason)]
    return [starting]


def _obstructed(job: Job, obstacle: Obstacle, text: str) -> Reason:
    text = text.rstrip(".")
    if obstacle is Obstacle.NO_GPU:  # docs/founding-document.md: short of GPUs, keep waiting
        short = f"No free GPU on {job.node}; the job starts when one is released ({text})."
        return Reason(ReasonCode.SHORT_OF_GPUS, short)
    if obstacle is Obstacle.UNSCHEDULABLE:
        where = f"The pod cannot be scheduled on {job.node}; the job starts when {job.node} or "
        return Reason(ReasonCode.UNSCHEDULABLE, f"{where}another node can run it ({text}).")
    return Reason(ReasonCode.CONTROLLER_DOWN, f"{text}.")


def _ended(job: Job, workflow: WorkflowStatus) -> list[Action]:
    is_new = job.phase is Phase.ADMITTED
    has_run = workflow.started_at or workflow.phase is WorkflowPhase.SUCCEEDED
    started: list[Action] = [_mark_running(job, workflow)] if is_new and has_run else []
    return [*started, outcome(job, workflow)]


def _just_started(job: Job, workflow: WorkflowStatus) -> list[Action]:
    runs = workflow.phase is WorkflowPhase.RUNNING and job.phase is Phase.ADMITTED
    return [_mark_running(job, workflow)] if runs else []


def _mark_running(job: Job, workflow: WorkflowStatus) -> MarkRunning:
    return MarkRunning(workflow.started_at, _runs_on(job, workflow))


def _runs_on(job: Job, workflow: WorkflowStatus) -> str:
    return f"Running on {workflow.node or job.node}."
