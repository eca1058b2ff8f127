"""The scheduling cycle: `run_cycle` is a page of numbered steps, each a verb."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from jobqueue.errors import StaleLeader, StoreUnavailable
from jobqueue.eta import remaining_s
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.reason import NO_KNOWN_END, REASONS_WRITTEN
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from scheduler.apply.actor import Actor
from scheduler.apply.admitter import Admitter
from scheduler.apply.context import Context
from scheduler.apply.open_creates import OpenCreates
from scheduler.apply.reconciler import Reconciled, Reconciler
from scheduler.decide.capacity import Limits, Node, known_nodes
from scheduler.decide.nominate import Nomination, nominate
from scheduler.decide.report import HURRY_PAUSE_S, CycleReport, next_pause
from scheduler.decide.snapshot import CycleSnapshot
from scheduler.engines.by_name import Engines
from scheduler.engines.contract import EngineError
from scheduler.health.alerts import Alerts
from scheduler.health.create_backoff import LONGEST_RETRY_AFTER_S, CreateBackoff
from scheduler.health.heartbeat import Heartbeat
from scheduler.health.lead import Lead
from scheduler.health.liveness import LivenessFile
from scheduler.health.node_cooldown import Cooldowns
from scheduler.health.node_history import NodeHistory
from scheduler.health.outage import Outages
from scheduler.health.waker import Waker
from scheduler.monitors import MonitorClient
from scheduler.settings import SchedulerSettings
from scheduler.templates import Templates

log = get_logger(__name__)

#: How long the pause between retries of a failing engine may grow (s).
LONGEST_BACKOFF_S = 60.0
#: The longest silence of the liveness file during a pause (s).
LONGEST_SILENCE_S = 15.0
_CONTINUES = "scheduling resumes automatically. Running jobs are not affected."


@dataclass(frozen=True)
class Outside:
    """The outside systems of one scheduler."""

    store: Store
    engines: Engines
    monitors: MonitorClient
    alerts: Alerts


class Scheduler:
    """One scheduler process. `run` repeats `run_cycle` until `stopping` is set."""

    def __init__(
        self,
        settings: SchedulerSettings,
        outside: Outside,
        holder: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stopping = threading.Event()
        self._settings = settings
        self._outside = outside
        self._store = outside.store
        self._clock = clock
        self._monotonic = monotonic
        self.outages = Outages(settings, outside.alerts, clock)
        self.lead = Lead(outside.store, holder, settings.lease_s, monotonic)
        self.waker = Waker(outside.store, outside.engines, self.stopping)
        self._liveness = LivenessFile(settings.heartbeat_file)
        self._heartbeat = Heartbeat(self.lead, self.outages, settings.poll_interval_s, clock)
        self._history = NodeHistory(monotonic)
        self._cooldowns = Cooldowns(monotonic)
        self._templates = Templates(settings.workflow_template.parent)
        self._build_steps()
        self._seen: Reconciled | None = None
        self._logged: tuple[object, ...] = ()

    def _build_steps(self) -> None:
        outside = self._outside
        context = Context(
            store=outside.store,
            engines=outside.engines,
            alerts=outside.alerts,
            settings=self._settings,
            clock=self._clock,
            keep_alive=self._keep_alive,
        )
        outside.engines.keep_alive_with(self._keep_alive)
        self._creates = OpenCreates(context)
        self._actor = Actor(context, self._cooldowns)
        self._reconciler = Reconciler(context, self._actor, self._creates)
        backoff = CreateBackoff(self._monotonic)
        self._admitter = Admitter(context, self._templates, self._creates, backoff)

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        """Run cycles until `stopping` is set; nothing that a cycle meets ends the loop."""
        self.waker.start()
        self._liveness.touch()
        full = True
        while not self.stopping.is_set():
            pause_s = self.guarded_cycle(full)
            full = self.pause(pause_s) or pause_s > HURRY_PAUSE_S
        try:
            self.lead.resign()
        except StoreUnavailable:
            pass  # the lease expires by itself

    def guarded_cycle(self, full: bool = True) -> float:
        """Run one cycle, whatever happens; return how long to pause after it (s)."""
        try:
            report = self.run_cycle(full)
        except StoreUnavailable as error:
            return self._redis_failed(error)
        except StaleLeader as error:
            self.lead.lost()
            log.warning("Lost the lead.", error=str(error))
            return HURRY_PAUSE_S
        except EngineError as error:
            return self._engine_failed(error)
        except Exception as error:  # the loop outlives whatever a cycle meets
            log.exception("The cycle failed with an unexpected error.")
            return self._cycle_failed(error)
        self.outages.redis.recovered()
        if report.news != self._logged:
            log.info(report.summary)
        self._logged = report.news
        return next_pause(report, self._settings.poll_interval_s)

    def run_cycle(self, full: bool = True) -> CycleReport:
        """Run one cycle; with `full=False` the engines are not asked, and step 2 is left out."""
        # 1. lead: be or become the leader, else stand by
        leader = self._take_lead()
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

    def pause(self, pause_s: float) -> bool:
        """Wait until woken or `pause_s` is over, and stay the leader; return whether it was woken."""
        until = self._monotonic() + pause_s
        self._liveness.touch()
        while (left := until - self._monotonic()) > 0 and not self.stopping.is_set():
            if self.waker.wait(min(left, self._settings.lease_s / 3, LONGEST_SILENCE_S)):
                return True
            self._liveness.touch()
            self.renew()
        return False

    def renew(self) -> None:
        """Renew the lease and the heartbeat during a pause."""
        try:
            self.lead.renew()
            self._heartbeat.repeat_problem()
        except StoreUnavailable:
            pass  # the next cycle meets it, counts it and reports it

    # -- the steps -------------------------------------------------------------------------------

    def _take_lead(self) -> Leader | None:
        leader = self.lead.take()
        self.outages.resume_if_asked(self._store.resume_requested_at)
        if leader is None:
            self._creates.survived()
        if self.lead.is_new:
            self._seen = None
        return leader

    def _keep_alive(self) -> None:
        """Show a sign of life between two steps; raises StaleLeader if the lead is lost."""
        self._liveness.touch()
        self.lead.keep()

    def _reconcile(self, leader: Leader, full: bool) -> tuple[Job, ...]:
        """Return the jobs that hold a slot."""
        if self._seen is not None and not full:
            return tuple(self._store.running())
        self._repair(leader)
        seen = self._reconciler.run(leader, self._store.running())
        self.outages.engine.recovered()
        self._history.ended_on(seen.ended_on)
        self._history.started_on(seen.started_on)
        self._history.did_not_accept(seen.not_accepting)
        self._seen = seen
        return seen.running

    def _repair(self, leader: Leader) -> None:
        repaired = leader.repair(self._clock())
        if repaired:
            self._outside.alerts.send(
                f"Unreadable data in Redis ({repaired}) was moved to quarantine; the queue was "
                "restored from the job records.",
                "Inspect it: redis-cli lrange quarantine 0 -1",
            )

    def _measure(self, running: tuple[Job, ...]) -> list[Node]:
        engines = self._outside.engines
        answers = self._outside.monitors.nodes(self._history.windows_s())
        # On one machine there is one monitor, whatever name it has.
        ours = [] if engines.default.pins_gpus else [job.node or "" for job in running]
        not_accepting = self._history.not_accepting()
        nodes = known_nodes(answers, self._store.dead_nodes(), ours, not_accepting)
        self._cooldowns.update(nodes)
        engines.nodes_answering({node.name for node in nodes if node.snapshot is not None})
        return nodes

    def _nominate(self, running: tuple[Job, ...], nodes: list[Node]) -> Nomination:
        """Nominate from the head of the queue, and further back while all that were seen pass."""
        snapshot = self._snapshot(running, nodes)
        count = REASONS_WRITTEN
        while True:
            heads = self._heads(count)
            names = {job.spec.workflow for job in heads}
            snapshot = replace(
                snapshot,
                heads=tuple(heads),
                backoffs=self._admitter.backoffs(heads),
                broken_templates=self._broken_templates(names),
            )
            nomination = nominate(snapshot)
            is_worth_it = nomination.wants_more and len(snapshot.backoffs) < len(heads)
            if len(heads) < count or not is_worth_it:
                return nomination
            count *= 4

    def _snapshot(self, running: tuple[Job, ...], nodes: list[Node]) -> CycleSnapshot:
        seen, settings = self._seen or Reconciled(), self._settings
        return CycleSnapshot(
            now=self._clock(),
            limits=Limits(
                settings.max_running_jobs,
                settings.max_running_per_user,
                settings.require_gpu,
                self._outside.engines.default.pins_gpus,
            ),
            nodes=tuple(nodes),
            running=running,
            unmanaged=seen.unmanaged,
            unschedulable=seen.unschedulable,
            cooldowns=self._cooldowns.pairs(),
            remaining_s=self._remaining_s(running),
            halted=self.outages.sentence,
        )

    def _heads(self, count: int) -> list[Job]:
        return self._store.jobs(self._store.order(0, count)) if self._store.queue_length() else []

    def _broken_templates(self, names: set[str]) -> dict[str, str]:
        broken = self._templates.broken(names)
        for text in broken.values():
            remedy = "Fix the template; its jobs keep their positions and start then."
            self._outside.alerts.once(text, remedy)
        return broken

    def _remaining_s(self, running: tuple[Job, ...]) -> dict[str, float | None]:
        """Return how long each running job is expected to take still, from earlier run times."""
        learnt = self._store.durations([(job.spec.user, job.spec.config) for job in running])
        now = self._clock()
        return {
            job.job_id: remaining_s(learnt[job.spec.user, job.spec.config], now - job.started_at)
            for job in running
            if job.started_at is not None and job.reason.code not in NO_KNOWN_END
        }

    def _act(self, leader: Leader, nomination: Nomination) -> int:
        """Return how many jobs were given a slot."""
        for withdrawal in nomination.withdrawals:
            self._actor.withdraw(leader, withdrawal)
            self._keep_alive()
        if self._seen is not None:
            self._seen = self._seen.without(each.job.job_id for each in nomination.withdrawals)
        admitted = 0
        for admission in nomination.admissions:
            self._keep_alive()
            admitted += self._admitter.admit(leader, admission)
        return admitted

    def _report(
        self, leader: Leader, nodes: list[Node], nomination: Nomination, running: int
    ) -> CycleReport:
        leader.set_reasons(nomination.reasons)
        is_full = running >= self._settings.max_running_jobs
        report = CycleReport(
            is_leader=True,
            queued=self._store.queue_length(),
            running=running,
            head=nomination.reasons[0] if nomination.reasons else None,
            has_free_slot=not is_full and self.outages.halt is None,
            has_just_ended=bool(self._history.windows_s()),
        )
        self._heartbeat.write(leader, report.summary, nodes)
        failpoint("scheduler.observe.after")
        return report

    # -- failures --------------------------------------------------------------------------------

    def _redis_failed(self, error: StoreUnavailable) -> float:
        self.lead.lost()
        failures = self.outages.redis.failures + 1
        log.warning("Redis is unavailable.", error=str(error), attempt=failures)
        self.outages.redis.failed(str(error), f"Fix Redis; {_CONTINUES}")
        return self._settings.redis_retry_delay_s

    def _engine_failed(self, error: EngineError) -> float:
        outage = self.outages.engine
        log.warning("The engine failed.", error=str(error), attempt=outage.failures + 1)
        outage.failed(str(error), f"Fix the engine; {_CONTINUES}")
        self._heartbeat.write_problem(str(error))
        backoff = min(2.0 ** (outage.failures - 1), LONGEST_BACKOFF_S)
        asked = min(error.retry_after_s or 0, LONGEST_RETRY_AFTER_S)
        return max(backoff * random.uniform(0.5, 1), asked)

    def _cycle_failed(self, error: Exception) -> float:
        what = f"{type(error).__name__}: {error}"
        title = f"A scheduling cycle failed ({what}); no job starts until one succeeds."
        self._outside.alerts.once(title, "See the scheduler's log, and report the bug.")
        self._heartbeat.write_problem(title)
        return self._settings.poll_interval_s
