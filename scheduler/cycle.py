"""This module is the scheduling cycle: `Cycle.run` is a list of numbered steps."""

from collections.abc import Iterable
from dataclasses import replace

from jobqueue.eta import remaining_s
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.reason import NO_KNOWN_END, REASONS_WRITTEN
from jobqueue.store.leader import Leader
from scheduler.apply.actor import Actor
from scheduler.apply.admitter import Admitter
from scheduler.apply.open_creates import OpenCreates
from scheduler.apply.reconciler import Reconciled, Reconciler
from scheduler.context import Context
from scheduler.decide.capacity import Limits, Node, known_nodes
from scheduler.decide.nominate import Nomination, nominate
from scheduler.decide.report import CycleReport
from scheduler.decide.snapshot import CycleSnapshot
from scheduler.health.create_backoff import CreateBackoff
from scheduler.health.node_cooldown import Cooldowns
from scheduler.health.node_history import NodeHistory
from scheduler.templates import Templates
from scheduler.vitals import Vitals

#: How many times as many heads are considered next if all that were considered are passed over.
_FURTHER = 4


class Cycle:
    """A cycle is run again and again; between two runs its parts and the last findings are kept."""

    def __init__(self, context: Context, vitals: Vitals) -> None:
        self._context = context
        self._vitals = vitals
        monotonic = context.clocks.monotonic
        self._history = NodeHistory(monotonic)
        self._cooldowns = Cooldowns(monotonic)
        self._templates = Templates(context.settings.workflow_template.parent)
        self._creates = OpenCreates(context)
        self._actor = Actor(context, self._cooldowns)
        self._reconciler = Reconciler(context, self._actor, self._creates)
        self._admitter = Admitter(context, self._templates, self._creates, CreateBackoff(monotonic))
        self._seen: Reconciled | None = None  # of the last reconciliation of this lead

    def run(self, full: bool = True) -> CycleReport:
        """Run one cycle; with `full=False` the engines are not asked, and step 2 is left out."""
        # 1. lead: be or become the leader, else stand by
        leader = self._lead()
        if leader is None:
            return CycleReport(is_leader=False)
        # 2. reconcile: bring the records in line with what the engines report
        running = self._reconcile(leader, full)
        # 3. measure: what is really free, node by node
        nodes = self._measure(running)
        # 4. nominate: who starts where, and why the others wait
        nomination = self._nominate(running, nodes)
        # 5. act: withdraw what another node can run, then admit
        admitted = self._act(leader, nomination)
        # 6. report: reasons, heartbeat and measurements for everybody
        return self._report(leader, nodes, nomination, len(running) + admitted)

    # -- 1. lead ---------------------------------------------------------------------------------

    def _lead(self) -> Leader | None:
        leader = self._vitals.lead.take()
        self._vitals.outages.resume_if_asked(self._context.store.resume_requested_at)
        if leader is None:
            self._creates.survived()
        if self._vitals.lead.is_new:
            self._seen = None
        return leader

    # -- 2. reconcile ----------------------------------------------------------------------------

    def _reconcile(self, leader: Leader, full: bool) -> tuple[Job, ...]:
        """Return the jobs that hold a slot."""
        if self._seen is not None and not full:
            return tuple(self._context.store.running())
        self._repair(leader)
        seen = self._reconciler.run(leader, self._context.store.running())
        self._vitals.outages.engine.recovered()
        self._history.ended_on(seen.ended_on)
        self._history.started_on(seen.started_on)
        self._history.did_not_accept(seen.not_accepting)
        self._seen = seen
        return seen.running

    def _repair(self, leader: Leader) -> None:
        repaired = leader.repair(self._context.now())
        if repaired:
            self._context.alerts.send(
                f"Unreadable data in Redis ({repaired}) was moved to quarantine; the queue was "
                "restored from the job records.",
                "Inspect it: redis-cli lrange quarantine 0 -1",
            )

    # -- 3. measure ------------------------------------------------------------------------------

    def _measure(self, running: tuple[Job, ...]) -> tuple[Node, ...]:
        context = self._context
        answers = context.monitors.nodes(self._history.windows_s())
        ours = _nodes_that_need_a_monitor(context, running)
        not_accepting = self._history.not_accepting()
        nodes = known_nodes(answers, context.store.dead_nodes(), ours, not_accepting)
        self._cooldowns.update(nodes)
        answering = {node.name for node in nodes if node.snapshot is not None}
        context.engines.nodes_answering(answering)
        return tuple(nodes)

    # -- 4. nominate -----------------------------------------------------------------------------

    def _nominate(self, running: tuple[Job, ...], nodes: tuple[Node, ...]) -> Nomination:
        """Nominate from the head of the queue, and further back while all the jobs seen start."""
        snapshot, count = self._snapshot(running, nodes), REASONS_WRITTEN
        while True:
            snapshot = self._with_heads(snapshot, count)
            nomination = nominate(snapshot)
            all_back_off = len(snapshot.backoffs) == len(snapshot.heads)
            if len(snapshot.heads) < count or all_back_off or not nomination.wants_more:
                return nomination
            count *= _FURTHER

    def _snapshot(self, running: tuple[Job, ...], nodes: tuple[Node, ...]) -> CycleSnapshot:
        """Return the snapshot without the queue."""
        seen = self._seen or Reconciled()
        return CycleSnapshot(
            now=self._context.now(),
            limits=self._limits(),
            nodes=nodes,
            running=running,
            unmanaged=seen.unmanaged,
            unschedulable=seen.unschedulable,
            cooldowns=self._cooldowns.pairs(),
            remaining_s=self._remaining_s(running),
            halted=self._vitals.outages.sentence,
        )

    def _with_heads(self, snapshot: CycleSnapshot, count: int) -> CycleSnapshot:
        """Return the snapshot with the jobs at the head of the queue, at most `count`."""
        store = self._context.store
        heads = tuple(store.jobs(store.order(0, count)) if store.queue_length() else ())
        return replace(
            snapshot,
            heads=heads,
            backoffs=self._admitter.backoffs(heads),
            broken_templates=self._broken_templates({job.spec.workflow for job in heads}),
        )

    def _limits(self) -> Limits:
        settings = self._context.settings
        return Limits(
            settings.max_running_jobs,
            settings.max_running_per_user,
            settings.require_gpu,
            self._context.engines.default.pins_gpus,
        )

    def _broken_templates(self, names: Iterable[str]) -> dict[str, str]:
        broken = self._templates.broken(names)
        for text in broken.values():
            remedy = "Fix the template; its jobs keep their positions and start then."
            self._context.alerts.once(text, remedy)
        return broken

    def _remaining_s(self, running: tuple[Job, ...]) -> dict[str, float | None]:
        """Return how long each running job is expected to take still, from earlier run times."""
        kinds = [(job.spec.user, job.spec.config) for job in running]
        learnt, now = self._context.store.durations(kinds), self._context.now()
        return {
            job.job_id: remaining_s(learnt[job.spec.user, job.spec.config], now - job.started_at)
            for job in running
            if job.started_at is not None and job.reason.code not in NO_KNOWN_END
        }

    # -- 5. act ----------------------------------------------------------------------------------

    def _act(self, leader: Leader, nomination: Nomination) -> int:
        """Return how many jobs were given a slot."""
        for withdrawal in nomination.withdrawals:
            self._actor.withdraw(leader, withdrawal)
            self._context.keep_alive()
        if self._seen is not None:
            self._seen = self._seen.without(each.job.job_id for each in nomination.withdrawals)
        admitted = 0
        for admission in nomination.admissions:
            self._context.keep_alive()
            admitted += self._admitter.admit(leader, admission)
        return admitted

    # -- 6. report -------------------------------------------------------------------------------

    def _report(
        self, leader: Leader, nodes: tuple[Node, ...], nomination: Nomination, running: int
    ) -> CycleReport:
        leader.set_reasons(nomination.reasons)
        is_full = running >= self._context.settings.max_running_jobs
        report = CycleReport(
            is_leader=True,
            queued=self._context.store.queue_length(),
            running=running,
            head=nomination.reasons[0] if nomination.reasons else None,
            has_free_slot=not is_full and self._vitals.outages.halt is None,
            has_just_ended=bool(self._history.windows_s()),
        )
        self._vitals.heartbeat.write(leader, report.summary, nodes)
        failpoint("scheduler.observe.after")
        return report


def _nodes_that_need_a_monitor(context: Context, running: Iterable[Job]) -> list[str]:
    """Return the nodes of our jobs, which are shown even if no monitor answers for them.

    An engine that pins GPUs runs on one machine, whose monitor may have any name.
    """
    return [job.node for job in running if job.node and not context.engines.of_job(job).pins_gpus]
