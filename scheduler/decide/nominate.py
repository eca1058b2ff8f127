"""Decide which queued job starts where, and why the others wait: pure functions."""

from dataclasses import dataclass, replace

from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import REASONS_WRITTEN, Reason, ReasonCode
from scheduler.decide.capacity import Ledger, Node, free_count, free_uuids
from scheduler.decide.snapshot import CycleSnapshot
from scheduler.decide.waiting_reasons import no_node_passes, slots_full


@dataclass(frozen=True)
class Admission:
    """An admission is the decision that a job starts on a node.

    `gpu_uuids` is empty if the node has no GPU, or if the engine counts GPUs instead.
    """

    job: Job
    node: str
    gpu_uuids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Withdrawal:
    """A withdrawal moves an admitted job, which its node cannot run, to `node`."""

    job: Job
    node: str


@dataclass(frozen=True)
class Nomination:
    """A nomination has the decisions of one cycle, and why the other jobs wait."""

    admissions: tuple[Admission, ...] = ()
    reasons: tuple[tuple[Job, Reason], ...] = ()
    withdrawals: tuple[Withdrawal, ...] = ()
    #: slots are left and every head was passed over, so jobs further back may start
    wants_more: bool = False


def nominate(snapshot: CycleSnapshot) -> Nomination:
    """Return admissions in strict order, and a reason for every head that keeps waiting.

    A job is passed over only if its user runs as many jobs as allowed, if no known node could ever
    hold its GPUs, or if its workflow cannot be created now. A head that merely does not fit now is
    not overtaken.
    """
    if snapshot.halted:
        reason = Reason(ReasonCode.HALTED, snapshot.halted)
        return Nomination(reasons=tuple((job, reason) for job in snapshot.heads[:REASONS_WRITTEN]))
    ledger = Ledger.of(snapshot.running, snapshot.unmanaged)
    withdrawals = _withdrawals(snapshot, ledger)
    line = _Line(snapshot, ledger)
    for job in snapshot.heads:
        line.consider(job)
    wants_more = line.blocked is None and ledger.slots < snapshot.limits.max_running
    return Nomination(
        tuple(line.admissions), tuple(line.reasons[:REASONS_WRITTEN]), withdrawals, wants_more
    )


def ordinal(number: int) -> str:
    """Return the number as an ordinal: 1st, 2nd, 3rd, 4th, 11th, 21st and so on."""
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10)
    return f"{number}{last or 'th'}"


class _Line:
    """The line goes through the queue from its head and notes which jobs start and which wait."""

    def __init__(self, snapshot: CycleSnapshot, ledger: Ledger) -> None:
        self._snapshot = snapshot
        self._ledger = ledger
        self.admissions: list[Admission] = []
        self.reasons: list[tuple[Job, Reason]] = []
        self.blocked: Reason | None = None  #: why the first job that does not fit waits

    def consider(self, job: Job) -> None:
        """Admit the job, or write down why it waits."""
        passed = self._snapshot.backoffs.get(job.job_id) or _passed_over(
            job, self._snapshot, self._ledger
        )
        if passed is not None:
            self._waits(job, passed)
        elif self.blocked is not None:
            self._waits(job, replace(self.blocked, code=ReasonCode.WAITING_TURN))
        elif (found := self._admission(job)) is not None:
            self._ledger.book(job, found.node, found.gpu_uuids)
            self.admissions.append(found)
        else:
            self.blocked = self._why_blocked(job)
            self._waits(job, self.blocked)

    def _admission(self, job: Job) -> Admission | None:
        if self._ledger.slots >= self._snapshot.limits.max_running:
            return None
        return _best_fit(job, self._snapshot, self._ledger)

    def _why_blocked(self, job: Job) -> Reason:
        if self._ledger.slots < self._snapshot.limits.max_running:
            return no_node_passes(job, self._snapshot, self._ledger)
        admitted = tuple(admission.job for admission in self.admissions)
        return slots_full((*self._snapshot.running, *admitted), self._snapshot)

    def _waits(self, job: Job, why: Reason) -> None:
        position = f"{ordinal(len(self.reasons) + 1)} in line"
        self.reasons.append((job, replace(why, message=f"{position}; {why.message}")))


def _passed_over(job: Job, snapshot: CycleSnapshot, ledger: Ledger) -> Reason | None:
    """Return why the job is passed over; None if it takes its turn."""
    user, template = job.spec.user, job.spec.workflow
    if template in snapshot.broken_templates:  # an admin's fault: the job keeps its position
        return Reason(ReasonCode.TEMPLATE_INVALID, snapshot.broken_templates[template])
    most = snapshot.limits.max_per_user
    if ledger.users[user] >= most:
        text = f"{user} already has {_jobs(ledger.users[user])} running (limit: {most})"
        return Reason(ReasonCode.USER_LIMIT, text)
    largest = _largest_node(snapshot)
    if largest is not None and 0 < largest < job.spec.gpus:
        text = f"asks for {job.spec.gpus} GPUs, but the largest node has {largest}"
        return Reason(ReasonCode.NEVER_FITS, text)
    return None


def _jobs(count: int) -> str:
    return f"{count} job{'' if count == 1 else 's'}"


def _largest_node(snapshot: CycleSnapshot) -> int | None:
    """Return the most GPUs that any node has; None if that is unknown or does not matter."""
    alive = [node for node in snapshot.nodes if not node.is_dead]
    sizes = [len(node.snapshot.gpus) for node in alive if node.snapshot]
    if not snapshot.limits.require_gpu or not sizes or len(sizes) < len(alive):
        return None
    return max(sizes)


def _best_fit(
    job: Job, snapshot: CycleSnapshot, ledger: Ledger, other_than: str | None = None
) -> Admission | None:
    """Return the node that passes with the fewest GPUs left free, so that large jobs find room."""
    fits = [
        (left, node)
        for node in snapshot.nodes
        if node.name != other_than and (left := _left_free(job, node, snapshot, ledger)) is not None
    ]
    if not fits:
        return None
    _, node = min(fits, key=lambda fit: (fit[0], fit[1].name))
    pins = snapshot.limits.pins_gpus and node.snapshot is not None
    uuids = free_uuids(node.snapshot, ledger) if pins and node.snapshot else ()
    return Admission(job, node.name, uuids[: job.spec.gpus])


def _left_free(job: Job, node: Node, snapshot: CycleSnapshot, ledger: Ledger) -> int | None:
    """Return how many GPUs stay free with the job on this node; None if it cannot start there."""
    limits, measured = snapshot.limits, node.snapshot
    if measured is None or not measured.available or node.not_accepting:
        return None
    if (job.job_id, node.name) in snapshot.cooldowns:
        return None
    if not limits.require_gpu and not measured.gpus:  # a CPU node is one slot
        return None if node.name in ledger.nodes else 0
    left = free_count(measured, ledger, limits) - job.spec.gpus
    return left if left >= 0 else None


def _withdrawals(snapshot: CycleSnapshot, ledger: Ledger) -> tuple[Withdrawal, ...]:
    """Return which admitted jobs can start on another node, and promise them their GPUs there.

    A job that is already being withdrawn is promised GPUs too: it was admitted before any job that
    waits.
    """
    found = []
    for job in snapshot.running:
        is_underway = job.withdrawn_uid is not None
        is_stuck = is_underway or job.job_id in snapshot.unschedulable
        if job.phase is not Phase.ADMITTED or not is_stuck:
            continue
        target = _best_fit(job, snapshot, ledger, other_than=job.node)
        if target is None:
            continue
        ledger.promise(target.node, job.spec.gpus, target.gpu_uuids)
        if not is_underway and job.cancel_requested_at is None:
            found.append(Withdrawal(job, target.node))
    return tuple(found)
