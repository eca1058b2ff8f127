"""Follow every job that holds a slot: ask its engine, decide with `next_actions`, carry it out."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from jobqueue.job import Job
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader
from scheduler.apply.actor import Actor
from scheduler.apply.isolate_job import isolated
from scheduler.apply.open_creates import OpenCreates
from scheduler.apply.orphans import Orphans
from scheduler.context import Context
from scheduler.decide.actions import Action, Finish, MarkRunning, Requeue
from scheduler.decide.next_action import (
    Conditions,
    is_gone,
    missed_start_deadline,
    next_actions,
)
from scheduler.engines.contract import Obstacle, WorkflowPhase, WorkflowStatus
from workflows.render import workflow_name

log = get_logger(__name__)


@dataclass(frozen=True)
class Reconciled:
    """One reconciliation found these jobs, workflows and nodes.

    `running`: the jobs that hold a slot now; `unmanaged`: live workflows of no admitted job;
    `unschedulable`: admitted jobs (ids) that their node cannot run; `not_accepting`: node -> why it
    did not accept a job's pod, other than for want of GPUs; `started_on`, `ended_on`: nodes where a
    job of ours started or ended.
    """

    running: tuple[Job, ...] = ()
    unmanaged: tuple[WorkflowStatus, ...] = ()
    unschedulable: frozenset[str] = frozenset()
    not_accepting: dict[str, str] = field(default_factory=dict)
    started_on: frozenset[str] = frozenset()
    ended_on: frozenset[str] = frozenset()

    def without(self, job_ids: Iterable[str]) -> "Reconciled":
        """Return the same without jobs that are being withdrawn, which are checked again first."""
        return replace(self, unschedulable=self.unschedulable - frozenset(job_ids))


class _Findings:
    """A reconciliation in progress collects here what it finds."""

    def __init__(self) -> None:
        self.unschedulable: set[str] = set()
        self.not_accepting: dict[str, str] = {}
        self.started_on: set[str] = set()
        self.ended_on: set[str] = set()

    def acted(self, job: Job, actions: Iterable[Action]) -> None:
        """Note what was done for a job."""
        node = job.node or ""
        for action in actions:
            if isinstance(action, MarkRunning):
                self.started_on.add(node)
            if isinstance(action, Requeue | Finish):
                self.ended_on.add(node)

    def saw(self, job: Job, workflow: WorkflowStatus | None) -> None:
        """Note what a live workflow of an admitted job shows about its node."""
        if workflow is None or not workflow.is_live:
            return
        if workflow.can_move:
            self.unschedulable.add(job.job_id)
        if workflow.obstacle is Obstacle.UNSCHEDULABLE:
            self.not_accepting[job.node or ""] = workflow.message


class Reconciler:
    """The reconciler updates the records according to what the engines report."""

    def __init__(self, context: Context, actor: Actor, creates: OpenCreates) -> None:
        self._context = context
        self._actor = actor
        self._creates = creates
        self._orphans = Orphans(context)
        self._dead: Collection[str] = ()

    def run(self, leader: Leader, running: Sequence[Job]) -> Reconciled:
        """Follow every job that holds a slot, handle all other workflows, and trim the history."""
        self._dead = self._context.store.dead_nodes()
        workflows = {(each.engine, each.name): each for each in self._listed()}
        found = _Findings()
        # The last admitted first: of several that are requeued, the first ends up at the front.
        for job in reversed(running):
            key = (self._context.engines.of_job(job).name, workflow_name(job))
            self._follow(leader, job, workflows.pop(key, None), found)
            self._context.keep_alive()
        unmanaged, adopted = self._orphans.run(
            leader, _without_the_dead(workflows.values(), self._dead)
        )
        self._creates.clear()
        settings = self._context.settings
        leader.trim(self._context.now() - settings.history_s, settings.history_jobs)
        return Reconciled(
            self._still_running([job.job_id for job in running], adopted),
            unmanaged,
            frozenset(found.unschedulable),
            found.not_accepting,
            frozenset(found.started_on),
            frozenset(found.ended_on),
        )

    def _still_running(self, before: list[str], adopted: Iterable[str]) -> tuple[Job, ...]:
        """Return the records, as they are now, of the jobs that hold a slot."""
        jobs = self._context.store.jobs([*before, *adopted])
        running = (job for job in jobs if job.phase.holds_slot)
        return tuple(sorted(running, key=lambda job: (job.admitted_at or 0, job.job_id)))

    def _listed(self) -> list[WorkflowStatus]:
        """Return all workflows, each with the name of its engine."""
        default = self._context.engines.default.name
        workflows = self._context.engines.workflows()
        return [each if each.engine else replace(each, engine=default) for each in workflows]

    def _follow(
        self, leader: Leader, job: Job, workflow: WorkflowStatus | None, found: _Findings
    ) -> None:
        with isolated(self._context, leader, job):
            name, engine = workflow_name(job), self._context.engines.of_job(job)
            workflow = workflow or engine.get(name)
            actions = next_actions(job, workflow, self._conditions(job))
            if missed_start_deadline(actions):  # a closer check than a list's: why it did not start
                workflow = engine.get(name)
                actions = next_actions(job, workflow, self._conditions(job))
            if workflow is None:
                self._creates.made_no_workflow(job)
            for action in actions:
                self._actor.carry_out(leader, job, action)
            found.acted(job, actions)
            found.saw(job, workflow)
            self._creates.settled(job.job_id)

    def _conditions(self, job: Job) -> Conditions:
        return Conditions(
            now=self._context.now(),
            start_deadline_s=self._context.settings.start_deadline_s,
            is_unanswered=self._creates.is_unanswered(job.job_id),
            dead_nodes=self._dead,
        )


def _without_the_dead(
    workflows: Iterable[WorkflowStatus], dead: Collection[str]
) -> list[WorkflowStatus]:
    """Count workflows as ended if their node is declared dead, whatever the engine shows."""
    return [
        replace(each, phase=WorkflowPhase.FAILED, obstacle=Obstacle.NONE)
        if is_gone(each, dead)
        else each
        for each in workflows
    ]
