"""The scheduling cycle: `run_cycle` is a page of numbered steps, each a verb; it returns a sentence on what it did."""

import random
import threading
import time
from collections.abc import Callable

from jobqueue.clock import rfc3339
from jobqueue.errors import GpuqError, StaleLeader, StoreUnavailable
from jobqueue.eta import remaining_s
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.reason import NO_KNOWN_END, Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from scheduler.apply.admitter import Admitter
from scheduler.apply.reconciler import Reconciled, Reconciler
from scheduler.apply.unfinished_creates import Leftovers
from scheduler.decide.capacity import Limits, Node, known_nodes
from scheduler.decide.nominate import Nomination, nominate
from scheduler.engines.contract import Engine, EngineError
from scheduler.health.alerts import Alerts
from scheduler.health.create_backoff import LONGEST_RETRY_AFTER_S
from scheduler.health.liveness import Heartbeat
from scheduler.health.node_cooldown import AvoidList
from scheduler.health.outage import Halt, Outage
from scheduler.health.waker import Waker
from scheduler.monitors import MonitorClient
from scheduler.settings import SchedulerSettings

log = get_logger(__name__)

HEADS = 100
#: After a job's end, while something waits, steps 3 to 6 repeat this often for so long: a free GPU waits for no poll.
HURRY_PAUSE_S = 0.25
HURRY_S = 10.0
#: How long a node that did not take a job's pod is sent no other, counted from the last time that this was seen.
SHUT_S = 60.0
#: How many failures of the engine in a row are only retried, and how long the pause between them may grow (s).
ENGINE_RETRIES = 6
LONGEST_BACKOFF_S = 60.0
#: How long a pause may be without a sign of life (s).
LONGEST_SILENCE_S = 15.0


class Scheduler:
    """One scheduler process. `run` repeats `run_cycle` until `stopping` is set."""

    def __init__(
        self,
        settings: SchedulerSettings,
        store: Store,
        engine: Engine,
        monitors: MonitorClient,
        alerts: Alerts,
        holder: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._store, self._engine, self._monitors = (
            settings,
            store,
            engine,
            monitors,
        )
        self._alerts, self._holder, self._clock, self._monotonic = alerts, holder, clock, monotonic
        self._limits = Limits(
            settings.max_running_jobs,
            settings.max_running_per_user,
            settings.require_gpu,
            engine.pins_gpus,
        )
        manual = settings.resume == "manual"
        self._redis = Outage("Redis", settings.redis_retries, alerts, clock, manual)
        self._cluster = Outage("the engine", ENGINE_RETRIES, alerts, clock, manual)
        self._avoid = AvoidList(monotonic)
        unanswered: set[str] = set()
        leftovers = Leftovers(store, engine, alerts)
        self._reconciler = Reconciler(
            store, engine, alerts, settings, self._avoid, unanswered, leftovers, clock, self._go_on
        )
        self._admitter = Admitter(
            engine, alerts, unanswered, leftovers, settings, self._limits, clock, monotonic
        )
        self._led_at = 0.0  # when (monotonic) the lease was last renewed
        self._leader: Leader | None = None
        self._reconciled = Reconciled()
        self._ended: dict[
            str, float
        ] = {}  # node -> when (monotonic) we last saw a job of ours end there
        self._shut: dict[
            str, tuple[float, str]
        ] = {}  # node -> until when (monotonic) it is sent nothing, and why
        self._answering: frozenset[str] = frozenset()  # nodes whose monitor answered last time
        self._queued = self._running = 0
        self._trouble = ""  # what the last cycle failed with
        self._news: tuple[
            object, ...
        ] = ()  # what would make the cycle's sentence worth a line in the log
        self._told: tuple[object, ...] = ()
        self.stopping = threading.Event()
        self._alive = Heartbeat(settings.heartbeat_file)
        self.waker = Waker(store, engine, self.stopping)

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until `stopping`; nothing that a cycle meets ends the loop."""
        self.waker.start()
        full = True
        self._alive.beat()
        while not self.stopping.is_set():
            pause = self._one_cycle(full)
            full = self._pause(pause) or pause > HURRY_PAUSE_S
        self._resign()

    def _one_cycle(self, full: bool) -> float:
        """One cycle, whatever happens; returns how long to pause (s)."""
        try:
            summary = self.run_cycle(full)
        except StoreUnavailable as error:
            self._leader = None
            log.warning("Redis does not serve.", error=str(error), attempt=self._redis.failures + 1)
            self._redis.failed(
                str(error), "Mend Redis; the scheduler goes on by itself, trainings run meanwhile."
            )
            return self._settings.redis_retry_delay_s
        except StaleLeader as error:
            self._leader = None
            log.warning("Lost the lead.", error=str(error))
            return HURRY_PAUSE_S
        except EngineError as error:
            return self._engine_failed(error)
        except Exception as error:  # the loop outlives whatever a cycle meets
            log.exception("This cycle broke; the next one starts afresh.")
            title = f"A cycle of the scheduler broke ({type(error).__name__}: {error}); no job is started meanwhile."
            self._alerts.once(title, "See the scheduler's log, and report it.")
            self._beat(title)
            return self._settings.poll_interval_s
        self._redis.recovered()
        if self._news != self._told:
            log.info(summary)
        self._told = self._news
        return self._next_pause()

    def run_cycle(self, full: bool = True) -> str:
        """One cycle; `full=False` leaves out the engine (step 2) and repeats what was seen of it last."""
        # 1. lead: be or become the leader, else stand by
        if not self._lead():
            self._news = ("standby",)
            return "Stands by; another scheduler leads."
        leader = self._leader
        assert leader is not None
        # 2. reconcile: what the engine says runs -> phases
        if full or not self._reconciled.complete:
            self._reconcile(leader)
        # 3. snapshot: what is really free, node by node
        nodes = self._snapshot()
        # 4. heads: the next jobs in order; 5. nominate: who starts where, and why the others wait
        nomination = self._nominate(self._heads(), nodes)
        # 6. admit: make it so; what is withdrawn makes room for itself elsewhere
        for withdrawal in nomination.withdrawals:
            self._reconciled.turned_away.discard(
                withdrawal.job.job_id
            )  # until it is looked at again
            self._reconciler.withdraw(leader, withdrawal.job, withdrawal.node)
            self._go_on()
        for admission in nomination.admissions:
            self._go_on()
            self._admitter.admit(leader, admission)
        return self._tell(leader, nodes, nomination)

    # -- the steps -------------------------------------------------------------------------------------------------

    def _lead(self) -> bool:
        before = self._leader
        leader = Leader.lead(self._store, self._holder, self._settings.lease_s)
        self._resume_if_asked()
        if leader is None:
            self._leader = None
            self._admitter.survived(self._store)
            return False
        self._led_at = self._monotonic()
        if before is None or before.epoch != leader.epoch:
            failpoint("scheduler.lead.after")
            log.info("Leads.", epoch=leader.epoch, holder=self._holder)
            self._reconciled = Reconciled()
        self._leader = leader
        return True

    def _go_on(self) -> None:
        """Between two steps of a cycle, which may get long: a sign of life, and the lease renewed in time.

        Raises StaleLeader where the lead is lost: the rest of the cycle would be refused.
        """
        self._alive.beat()
        if self._leader is None or self._monotonic() - self._led_at < self._settings.lease_s / 3:
            return
        self._hold_lead()
        if self._leader is None:
            raise StaleLeader("The lease ran out in the middle of a cycle; it is given up.")

    def _hold_lead(self) -> None:
        renewed = Leader.lead(self._store, self._holder, self._settings.lease_s)
        self._led_at = self._monotonic()
        # Another epoch is another lead (Redis was emptied, say): the next cycle begins it, and reconciles.
        is_ours = (
            renewed is not None and self._leader is not None and renewed.epoch == self._leader.epoch
        )
        self._leader = renewed if is_ours else None

    def _reconcile(self, leader: Leader) -> None:
        self._reconciled = self._reconciler.run(leader, self._answering)
        self._cluster.recovered()
        for node in self._reconciled.ended_on:
            self._ended[node] = self._monotonic()
        for node in self._reconciled.started_on:
            self._shut.pop(node, None)
        for node, why in self._reconciled.shut.items():
            self._shut[node] = (self._monotonic() + SHUT_S, why)

    def _heads(self, count: int = HEADS) -> list[Job]:
        return self._store.jobs(self._store.order(0, count)) if self._store.queue_length() else []

    def _snapshot(self) -> list[Node]:
        now = self._monotonic()
        self._ended = {node: at for node, at in self._ended.items() if now - at < HURRY_S}
        self._shut = {node: known for node, known in self._shut.items() if now < known[0]}
        answers = self._monitors.nodes({node: now - at for node, at in self._ended.items()})
        # On one machine there is one monitor, whatever name it goes by.
        ours = [] if self._engine.pins_gpus else [job.node or "" for job in self._store.running()]
        nodes = known_nodes(
            answers,
            self._store.dead_nodes(),
            ours,
            {node: why for node, (_, why) in self._shut.items()},
        )
        self._avoid.look_at(nodes)
        self._answering = frozenset(node.name for node in nodes if node.snapshot is not None)
        return nodes

    def _nominate(self, heads: list[Job], nodes: list[Node]) -> Nomination:
        halt = self._halt()
        if halt is not None:
            reason = Reason(
                ReasonCode.HALTED,
                f"the scheduler is halted since {rfc3339(halt.since)}: {halt.why}",
            )
            return Nomination(reasons=tuple((job, reason) for job in heads))
        unfit = self._admitter.unfit_templates(job.spec.workflow for job in heads)
        running, strays, avoid = self._store.running(), self._reconciled.strays, self._avoid.pairs()
        left = self._left_s(running)
        away = frozenset(self._reconciled.turned_away)
        held = self._admitter.held(heads)
        nomination = nominate(
            heads,
            nodes,
            running,
            self._limits,
            self._clock(),
            avoid,
            strays,
            unfit,
            left,
            away,
            held,
        )
        more = (
            self._heads(4 * len(heads)) if len(held) < len(heads) and nomination.wants_more else []
        )
        return self._nominate(more, nodes) if len(more) > len(heads) else nomination

    def _left_s(self, running: list[Job]) -> dict[str, float | None]:
        """How long each running job is expected to take still, from what such jobs took before."""
        learnt = self._store.durations([(job.spec.user, job.spec.config) for job in running])
        now = self._clock()
        return {
            job.job_id: remaining_s(learnt[job.spec.user, job.spec.config], now - job.started_at)
            for job in running
            if job.started_at is not None and job.reason.code not in NO_KNOWN_END
        }

    def _tell(self, leader: Leader, nodes: list[Node], nomination: Nomination) -> str:
        """Write reasons, heartbeat and what the monitors said; returns the cycle's sentence."""
        leader.set_reasons(nomination.reasons)
        self._queued, self._running = self._store.queue_length(), len(self._store.running_raw())
        summary = f"{self._queued} queued, {self._running} admitted or running"
        self._trouble = ""
        self._news = (self._queued, self._running)
        if nomination.reasons:
            job, reason = nomination.reasons[0]
            summary += f"; next is {job.job_id}: {reason.message}"
            self._news += (job.job_id, reason.code)
        at = rfc3339(self._clock())
        leader.observe(self._heartbeat(summary), {node.name: _said(node, at) for node in nodes})
        failpoint("scheduler.observe.after")
        return summary

    def _heartbeat(self, summary: str) -> dict[str, object]:
        halt = self._halt()
        return {
            "at": rfc3339(self._clock()),
            "summary": summary,
            "poll_interval_s": self._settings.poll_interval_s,
            "halted": halt and halt.to_dict(),
            "holder": self._holder,
        }

    def _beat(self, summary: str) -> None:
        """The heartbeat of a cycle that got no further, so that people are told why and not that nobody is there."""
        try:
            if self._leader is not None:
                self._trouble = summary
                self._leader.observe(self._heartbeat(summary), {})
        except GpuqError:
            pass  # the next cycle meets it, and says so

    # -- pauses ----------------------------------------------------------------------------------------------------

    def _next_pause(self) -> float:
        just_ended = any(self._monotonic() - at < HURRY_S for at in self._ended.values())
        may_start = (
            self._queued > 0 and self._running < self._limits.max_running and self._halt() is None
        )
        hurry = just_ended and may_start and self._leader is not None
        return HURRY_PAUSE_S if hurry else self._settings.poll_interval_s

    def _pause(self, pause_s: float) -> bool:
        """Wait until woken or `pause_s` is over, and stay the leader meanwhile; tells whether it was woken."""
        until = self._monotonic() + pause_s
        self._alive.beat()
        while (left := until - self._monotonic()) > 0 and not self.stopping.is_set():
            if self.waker.wait(min(left, self._settings.lease_s / 3, LONGEST_SILENCE_S)):
                return True
            self._alive.beat()
            self._renew()
        return False

    def _renew(self) -> None:
        try:
            if self._leader is not None:
                self._hold_lead()
            if self._trouble:  # a backoff may be longer than a heartbeat may be silent
                self._beat(self._trouble)
        except StoreUnavailable:
            pass  # the next cycle meets it, counts it and says so

    def _engine_failed(self, error: EngineError) -> float:
        log.warning(
            "The engine does not answer.", error=str(error), attempt=self._cluster.failures + 1
        )
        self._cluster.failed(
            str(error), "Mend the engine; the scheduler goes on by itself, trainings run meanwhile."
        )
        self._beat(str(error))
        backoff = min(2.0 ** (self._cluster.failures - 1), LONGEST_BACKOFF_S)
        return max(
            backoff * random.uniform(0.5, 1), min(error.retry_after_s or 0, LONGEST_RETRY_AFTER_S)
        )

    def _halt(self) -> Halt | None:
        return self._redis.halt or self._cluster.halt

    def _resume_if_asked(self) -> None:
        halt = self._halt()
        if halt is not None and self._store.resume_requested_at() > halt.since:
            self._redis.resume()
            self._cluster.resume()

    def _resign(self) -> None:
        try:
            Leader.resign(self._store, self._holder)
        except StoreUnavailable:
            pass  # the lease runs out by itself


def _said(node: Node, at: str) -> dict[str, object]:
    return {
        "at": at,
        "snapshot": node.snapshot and node.snapshot.encode(),
        "error": node.error or node.shut or None,
    }
