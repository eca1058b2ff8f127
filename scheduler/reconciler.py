"""Step 2 of the cycle: makes what `reconcile.decide` says so, and tidies up what belongs to no job of the queue."""

from collections.abc import Callable
from dataclasses import dataclass, field

from jobqueue.clock import rfc3339
from jobqueue.errors import InvalidTransition
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.leader import Leader
from jobqueue.log import get_logger
from jobqueue.phase import Phase
from jobqueue.store import Store
from scheduler import reconcile
from scheduler.alerts import Alerts
from scheduler.avoid import AvoidList
from scheduler.engine import Engine, WorkflowStatus
from scheduler.poison import put_aside_if_poison
from scheduler.reconcile import Action, Explain, Finish, MarkRunning, RecordWorkflow, Requeue, Stop
from scheduler.settings import SchedulerSettings
from workflows.render import workflow_name

log = get_logger(__name__)

#: Slots are not counted against an adopted workflow: it runs, whatever the limits say.
_NO_LIMIT = 1_000_000


@dataclass
class Reconciled:
    """What one reconciliation saw: `strays`, live workflows of no admitted job (the queue does not know it, or they are
    being stopped), and on which nodes a job of ours ended. `complete` once it went through."""

    strays: list[WorkflowStatus] = field(default_factory=list)
    ended_on: set[str] = field(default_factory=set)
    complete: bool = False


def record_workflow(leader: Leader, job: Job, workflow: WorkflowStatus) -> None:
    """The workflow is this job's: put it into its record, with where it really is."""
    node, uuids = workflow.node or job.node or "", workflow.gpu_uuids or job.gpu_uuids
    leader.record_workflow(job.job_id, workflow.name, workflow.uid, node, uuids)


class Reconciler:
    """Step 2 of the cycle; keeps what it told already."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        alerts: Alerts,
        settings: SchedulerSettings,
        avoid: AvoidList,
        unanswered: set[str],
        clock: Callable[[], float],
    ) -> None:
        self._store, self._engine, self._alerts, self._settings = store, engine, alerts, settings
        self._avoid, self._unanswered, self._clock = avoid, unanswered, clock
        self._told: set[str] = set()  # unknown workflows that an alert was sent about

    def run(self, leader: Leader) -> Reconciled:
        """Repair what cannot be read, follow every admitted job, tidy up other workflows, trim the history."""
        seen = Reconciled()
        self._repair(leader)
        workflows = {workflow.name: workflow for workflow in self._engine.workflows()}
        # The one admitted last first: of several that are requeued, the first of them ends up at the very front.
        for job in reversed(self._store.running()):
            workflow = workflows.pop(workflow_name(job), None) or self._engine.get(workflow_name(job))
            self._follow(leader, job, workflow, seen)
        self._tidy(leader, list(workflows.values()), seen)
        leader.trim(self._clock() - self._settings.history_s, self._settings.history_jobs)
        seen.complete = True
        return seen

    def _repair(self, leader: Leader) -> None:
        repaired = leader.repair(self._clock())
        if repaired:
            self._alerts.send(
                f"In Redis, {repaired} made no sense and were put aside; the queue was restored from the job records.",
                "See what they were: redis-cli lrange quarantine 0 -1",
            )

    # -- jobs that hold a slot -------------------------------------------------------------------------------------

    def _follow(self, leader: Leader, job: Job, workflow: WorkflowStatus | None, seen: Reconciled) -> None:
        with put_aside_if_poison(leader, job, self._clock, self._alerts):
            unanswered, deadline_s = job.job_id in self._unanswered, self._settings.start_deadline_s
            for action in reconcile.decide(job, workflow, self._clock(), deadline_s, unanswered):
                self._do(leader, job, action, seen)
            self._unanswered.discard(job.job_id)

    def _do(self, leader: Leader, job: Job, action: Action, seen: Reconciled) -> None:
        match action:
            case RecordWorkflow(workflow):
                record_workflow(leader, job, workflow)
                log.info("Adopted its workflow.", job_id=job.job_id, workflow=workflow.name)
            case MarkRunning(at, message):
                leader.mark_running(job.job_id, at or self._clock(), message)
                failpoint("scheduler.mark_running.after")
                log.info("Runs.", job_id=job.job_id, node=job.node)
            case Explain(reason):
                leader.set_reasons([(job, reason)])
            case Stop(workflow):
                self._engine.stop(workflow)
                failpoint("scheduler.stop.after")
            case Requeue():
                self._requeue(leader, job, action, seen)
            case Finish():
                self._finish(leader, job, action, seen)

    def _requeue(self, leader: Leader, job: Job, action: Requeue, seen: Reconciled) -> None:
        failpoint("scheduler.requeue.before")
        if action.avoid_node and job.node:
            self._avoid.add(job.job_id, job.node)
        phase = leader.requeue(
            job.job_id,
            self._clock(),
            action.reason,
            attempt=action.attempt,
            counts=action.counts,
            breaks=action.breaks,
        )
        failpoint("scheduler.requeue.after")
        seen.ended_on.add(job.node or "")
        log.warning("Left its slot.", job_id=job.job_id, status=phase, reason=action.reason.message)

    def _finish(self, leader: Leader, job: Job, action: Finish, seen: Reconciled) -> None:
        failpoint("scheduler.finish.before")
        at = action.at or self._clock()
        phase = leader.finish(job.job_id, action.phase, at, action.reason, action.result, action.run_time_s)
        failpoint("scheduler.finish.after")
        seen.ended_on.add(job.node or "")
        if phase is Phase.FAILED:  # the founding document's error log
            log.error("Failed.", job_id=job.job_id, reason=action.reason.message, log_tail=action.result.log_tail[-5:])
        else:
            log.info("Finished.", job_id=job.job_id, status=phase, reason=action.reason.message)

    # -- workflows of no job that holds a slot ---------------------------------------------------------------------

    def _tidy(self, leader: Leader, workflows: list[WorkflowStatus], seen: Reconciled) -> None:
        jobs = {job.job_id: job for job in self._store.jobs(workflow.job_id for workflow in workflows)}
        for workflow in workflows:
            job = jobs.get(workflow.job_id)
            if job is not None and job.phase is Phase.QUEUED and job.attempt == workflow.attempt:
                self._adopt(leader, job, workflow)
            elif not workflow.is_live:
                self._forget(workflow, job)
            elif job is None:
                seen.strays.append(workflow)
                self._tell_unknown(workflow)
            elif not job.phase.holds_slot or job.attempt != workflow.attempt:
                seen.strays.append(workflow)  # until it has ended
                self._engine.stop(workflow)
                failpoint("scheduler.stop.after")
                log.warning(
                    "Stopped a workflow that its job has no use for.", job_id=job.job_id, workflow=workflow.name
                )

    def _adopt(self, leader: Leader, job: Job, workflow: WorkflowStatus) -> None:
        """Redis lost the admission; the engine did not."""
        try:
            leader.admit(
                job,
                self._clock(),
                node=workflow.node or "",
                gpu_uuids=workflow.gpu_uuids,
                workflow_name=workflow.name,
                message=f"Found running as {workflow.name}.",
                max_running=_NO_LIMIT,
                max_per_user=_NO_LIMIT,
            )
        except InvalidTransition:
            return  # cancelled in the meantime; the next cycle stops the workflow
        record_workflow(leader, job, workflow)
        log.warning("Adopted a workflow of a queued job.", job_id=job.job_id, workflow=workflow.name)

    def _forget(self, workflow: WorkflowStatus, job: Job | None) -> None:
        """A finished workflow stays as a tombstone for a while, so that a late create of the same name meets it."""
        if job is not None and not job.phase.is_finished:
            return
        ended = (job and job.finished_at) or workflow.finished_at or workflow.started_at or 0
        if self._clock() - ended > self._settings.workflow_retention_s:
            self._engine.delete(workflow)
            failpoint("scheduler.delete.after")

    def _tell_unknown(self, workflow: WorkflowStatus) -> None:
        if workflow.name in self._told:
            return
        self._told.add(workflow.name)
        since = rfc3339(workflow.started_at) if workflow.started_at else "just now"
        self._alerts.send(
            f"The workflow {workflow.name} runs (since {since}), but Redis has no job {workflow.job_id}; "
            "it is left alone and counts as a running job.",
            "Was Redis emptied? Restore it, or stop the workflow by hand.",
        )
