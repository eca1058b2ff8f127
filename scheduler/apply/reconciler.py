"""Step 2 of the cycle: makes what `reconcile.decide` says so."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Outcome, RequeueEffect
from scheduler.apply.isolate_job import put_aside_if_poison
from scheduler.apply.orphans import Tidier, record_workflow
from scheduler.apply.unfinished_creates import Leftovers
from scheduler.decide import next_action as reconcile
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
from scheduler.engines.contract import Engine, WorkflowPhase, WorkflowStatus
from scheduler.health.alerts import Alerts
from scheduler.health.node_cooldown import AvoidList
from scheduler.settings import SchedulerSettings
from workflows.render import workflow_name

log = get_logger(__name__)


@dataclass
class Reconciled:
    """What one reconciliation saw: `strays`, live workflows of no admitted job (the queue does not know it, or they are
    being stopped), which jobs are `turned_away` by their node, which nodes are `shut` (and why: they did not take a
    job's pod, and not for want of GPUs), and on which nodes a job of ours started or ended. `complete` once it went
    through."""

    strays: list[WorkflowStatus] = field(default_factory=list)
    turned_away: set[str] = field(default_factory=set)
    shut: dict[str, str] = field(default_factory=dict)
    started_on: set[str] = field(default_factory=set)
    ended_on: set[str] = field(default_factory=set)
    complete: bool = False

    def note(self, job: Job, workflow: WorkflowStatus) -> None:
        """What a live workflow of an admitted job says about its node."""
        if workflow.is_turned_away:
            self.turned_away.add(job.job_id)
        if workflow.unschedulable:
            self.shut[job.node or ""] = workflow.message


class Reconciler:
    """Step 2 of the cycle."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        alerts: Alerts,
        settings: SchedulerSettings,
        avoid: AvoidList,
        unanswered: set[str],
        leftovers: Leftovers,
        clock: Callable[[], float],
        beat: Callable[[], None],
    ) -> None:
        """`beat` is called between any two jobs; what it raises ends the reconciliation."""
        self._store, self._engine, self._alerts, self._settings = store, engine, alerts, settings
        self._avoid, self._unanswered, self._leftovers, self._clock = (
            avoid,
            unanswered,
            leftovers,
            clock,
        )
        self._beat = beat
        self._tidier = Tidier(store, engine, alerts, settings, clock, beat)

    def run(self, leader: Leader, answering: Collection[str]) -> Reconciled:
        """Repair what cannot be read, follow every admitted job, tidy up other workflows, trim the history.

        `answering`: the nodes whose monitors answered in the last snapshot.
        """
        seen, dead = Reconciled(), self._store.dead_nodes()
        self._repair(leader)
        workflows = {
            workflow.name: workflow for workflow in self._engine.workflows(answering, self._beat)
        }
        # The one admitted last first: of several that are requeued, the first of them ends up at the very front.
        for job in reversed(self._store.running()):
            self._follow(leader, job, workflows.pop(workflow_name(job), None), seen, dead)
            self._beat()
        # What runs on a node that is declared dead runs no more, whatever the engine still shows of it.
        others = [
            replace(each, phase=WorkflowPhase.FAILED) if reconcile.is_gone(each, dead) else each
            for each in workflows.values()
        ]
        seen.strays = self._tidier.run(leader, others)
        self._leftovers.clear()
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

    def _follow(
        self,
        leader: Leader,
        job: Job,
        workflow: WorkflowStatus | None,
        seen: Reconciled,
        dead: Mapping[str, float],
    ) -> None:
        with put_aside_if_poison(leader, job, self._clock, self._alerts):
            workflow = workflow or self._engine.get(workflow_name(job))
            actions = self._decide(job, workflow, dead)
            if reconcile.gives_up(
                actions
            ):  # one more look, closer than a list's, at what keeps its pod from starting
                workflow = self._engine.get(workflow_name(job))
                actions = self._decide(job, workflow, dead)
            if workflow is None:
                self._leftovers.add(job)
            for action in actions:
                self._do(leader, job, action, seen)
            self._unanswered.discard(job.job_id)
            if workflow is not None and workflow.is_live:
                seen.note(job, workflow)

    def _decide(
        self, job: Job, workflow: WorkflowStatus | None, dead: Mapping[str, float]
    ) -> list[Action]:
        unanswered, deadline_s = job.job_id in self._unanswered, self._settings.start_deadline_s
        return reconcile.decide(job, workflow, self._clock(), deadline_s, unanswered, dead)

    def _do(self, leader: Leader, job: Job, action: Action, seen: Reconciled) -> None:
        match action:
            case RecordWorkflow(workflow):
                record_workflow(leader, job, workflow)
                log.info("Adopted its workflow.", job_id=job.job_id, workflow=workflow.name)
            case MarkRunning(at, message):
                leader.mark_running(job.job_id, at or self._clock(), message)
                failpoint("scheduler.mark_running.after")
                seen.started_on.add(job.node or "")
                log.info("Runs.", job_id=job.job_id, node=job.node)
            case Explain(reason):
                self._explain(leader, job, reason)
            case ExtendStart():
                leader.extend_start(job.job_id, self._clock())
            case Delete(workflow):
                self._engine.delete(workflow)
                failpoint("withdraw.deleted")
            case Stop(workflow):
                self._engine.stop(workflow)
                failpoint("scheduler.stop.after")
            case Requeue():
                self._requeue(leader, job, action, seen)
            case Finish():
                self._finish(leader, job, action, seen)

    def _explain(self, leader: Leader, job: Job, reason: Reason) -> None:
        if leader.set_reasons([(job, reason)]):
            log.info(
                "Stands as it stands.", job_id=job.job_id, status=job.phase, reason=reason.message
            )
        if reason.code is ReasonCode.NODE_LOST:
            remedy = "It keeps its slot until the node answers again or is declared dead; see gpuq admin node list."
            self._alerts.once(f"{job.job_id}: {reason.message}", remedy)

    def withdraw(self, leader: Leader, job: Job, to: str) -> None:
        """Take an admitted job's workflow back, because `to` can take it and its own node cannot.

        First the mark in the record, so that the deletion is known as ours; the job goes back to the front only once
        the engine says that nothing is left (see `reconcile.decide`).
        """
        with put_aside_if_poison(leader, job, self._clock, self._alerts):
            self._withdraw(leader, job, to)

    def _withdraw(self, leader: Leader, job: Job, to: str) -> None:
        workflow = self._engine.get(workflow_name(job))
        if workflow is None or workflow.uid != job.workflow_uid or not workflow.is_turned_away:
            return  # it has started since it was listed, or it is gone: the next look decides
        text = f"{job.node} cannot take it, and {to} can: it is being withdrawn, to start there."
        code = ReasonCode.SHORT_OF_GPUS if workflow.short_of_gpus else ReasonCode.UNSCHEDULABLE
        if not leader.withdraw(job.job_id, workflow.uid, self._clock(), Reason(code, text)):
            return
        failpoint("withdraw.marked")
        log.info("Withdraws its workflow.", job_id=job.job_id, workflow=workflow.name, reason=text)
        self._engine.delete(workflow)
        failpoint("withdraw.deleted")

    def _requeue(self, leader: Leader, job: Job, action: Requeue, seen: Reconciled) -> None:
        failpoint("scheduler.requeue.before")
        if action.avoid_node and job.node:
            self._avoid.add(job.job_id, job.node)
        effect = RequeueEffect(action.attempt, action.counts, action.breaks)
        phase = leader.requeue(job.job_id, self._clock(), action.reason, effect)
        failpoint("scheduler.requeue.after")
        seen.ended_on.add(job.node or "")
        log.warning("Left its slot.", job_id=job.job_id, status=phase, reason=action.reason.message)

    def _finish(self, leader: Leader, job: Job, action: Finish, seen: Reconciled) -> None:
        failpoint("scheduler.finish.before")
        at = action.at or self._clock()
        outcome = Outcome(action.phase, action.reason, action.result, action.run_time_s)
        phase = leader.finish(job.job_id, at, outcome)
        failpoint("scheduler.finish.after")
        seen.ended_on.add(job.node or "")
        if phase is Phase.FAILED:  # the founding document's error log
            log.error(
                "Failed.",
                job_id=job.job_id,
                reason=action.reason.message,
                log_tail=action.result.log_tail[-5:],
            )
        else:
            log.info("Finished.", job_id=job.job_id, status=phase, reason=action.reason.message)
