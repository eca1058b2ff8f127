"""Carry out the decisions about jobs that hold a slot: writes to Redis and calls of the engine."""

from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader, Outcome, RequeueEffect
from scheduler.apply.isolate_job import isolated
from scheduler.apply.recording import record_workflow
from scheduler.context import Context
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
from scheduler.decide.nominate import Withdrawal
from scheduler.engines.contract import Obstacle
from scheduler.health.node_cooldown import Cooldowns
from workflows.render import workflow_name

log = get_logger(__name__)


class Actor:
    """The actor carries out actions and withdrawals."""

    def __init__(self, context: Context, cooldowns: Cooldowns) -> None:
        self._context = context
        self._cooldowns = cooldowns

    def carry_out(self, leader: Leader, job: Job, action: Action) -> None:
        """Carry out one action for a job."""
        match action:
            case RecordWorkflow(workflow):
                record_workflow(leader, job, workflow)
                log.info("Workflow adopted.", job_id=job.job_id, workflow=workflow.name)
            case MarkRunning():
                self._mark_running(leader, job, action)
            case Explain(reason):
                self._explain(leader, job, reason)
            case ExtendStart():
                leader.extend_start(job.job_id, self._context.now())
            case Delete(workflow):
                self._context.engines.of(workflow).delete(workflow)
                failpoint("withdraw.deleted")
            case Stop(workflow):
                self._context.engines.of(workflow).stop(workflow)
                failpoint("scheduler.stop.after")
            case Requeue():
                self._requeue(leader, job, action)
            case Finish():
                self._finish(leader, job, action)

    def withdraw(self, leader: Leader, withdrawal: Withdrawal) -> None:
        """Delete an admitted job's workflow, because another node can run the job and its own not.

        The record is marked first, so that the deletion is known as ours. The job goes back to the
        front of the queue only when the engine reports that nothing is left (see `next_actions`).
        """
        with isolated(self._context, leader, withdrawal.job):
            self._withdraw(leader, withdrawal.job, withdrawal.node)

    def _mark_running(self, leader: Leader, job: Job, action: MarkRunning) -> None:
        leader.mark_running(job.job_id, action.at or self._context.now(), action.message)
        failpoint("scheduler.mark_running.after")
        log.info("Job running.", job_id=job.job_id, node=job.node)

    def _explain(self, leader: Leader, job: Job, reason: Reason) -> None:
        if leader.set_reasons([(job, reason)]):
            log.info(
                "Job reason updated.", job_id=job.job_id, status=job.phase, reason=reason.message
            )
        if reason.code is ReasonCode.NODE_LOST:
            remedy = (
                "The job keeps its slot until the node responds again or is declared dead; see "
                "gpuq admin node list."
            )
            self._context.alerts.once(f"{job.job_id}: {reason.message}", remedy)

    def _withdraw(self, leader: Leader, job: Job, to: str) -> None:
        engine = self._context.engines.of_job(job)
        workflow = engine.get(workflow_name(job))
        if workflow is None or workflow.uid != job.workflow_uid or not workflow.can_move:
            return  # it has started since it was listed, or is gone: the next cycle decides
        is_short = workflow.obstacle is Obstacle.NO_GPU
        code = ReasonCode.SHORT_OF_GPUS if is_short else ReasonCode.UNSCHEDULABLE
        text = f"Moving from {job.node}, which cannot run it, to {to}."
        if not leader.withdraw(job.job_id, workflow.uid, self._context.now(), Reason(code, text)):
            return
        failpoint("withdraw.marked")
        log.info("Workflow withdrawn.", job_id=job.job_id, workflow=workflow.name, reason=text)
        engine.delete(workflow)
        failpoint("withdraw.deleted")

    def _requeue(self, leader: Leader, job: Job, action: Requeue) -> None:
        failpoint("scheduler.requeue.before")
        if action.cool_down and job.node:
            self._cooldowns.add(job.job_id, job.node)
        effect = RequeueEffect(action.attempt, action.counts, action.breaks)
        phase = leader.requeue(job.job_id, self._context.now(), action.reason, effect)
        failpoint("scheduler.requeue.after")
        log.warning("Job requeued.", job_id=job.job_id, status=phase, reason=action.reason.message)

    def _finish(self, leader: Leader, job: Job, action: Finish) -> None:
        failpoint("scheduler.finish.before")
        at = action.at or self._context.now()
        outcome = Outcome(action.phase, action.reason, action.result, action.run_time_s)
        phase = leader.finish(job.job_id, at, outcome)
        failpoint("scheduler.finish.after")
        said = {"job_id": job.job_id, "status": phase, "reason": action.reason.sentence}
        if phase is Phase.FAILED:  # docs/founding-document.md draws this line of the error log
            log.error("Job failed.", **said, log_tail=action.result.log_tail[-5:])
        else:
            log.info("Job finished.", **said)
