"""Which queued job starts where: a pure function of the queue, the snapshots, what runs, and the limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.capacity import Ledger, Limits, Node, free_count, free_uuids
from scheduler.decide.waiting_reasons import no_node_passes, slots_full
from scheduler.engines.contract import WorkflowStatus

#: Reasons are written for this many jobs; the API words the rest from their position.
REASONS_WRITTEN = 100

Avoid = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Admission:
    """A decision: this job, on this node, with these GPUs (none where the node has none, or the engine counts them)."""

    job: Job
    node: str
    gpu_uuids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Withdrawal:
    """A decision: this admitted job, which its node does not take now, shall start on `node` instead."""

    job: Job
    node: str


@dataclass(frozen=True)
class Nomination:
    """The admissions and withdrawals of one cycle, and why the others wait."""

    admissions: tuple[Admission, ...] = ()
    reasons: tuple[tuple[Job, Reason], ...] = ()
    wants_more: bool = (
        False  #: slots are left, and every head was passed over: look further down the queue
    )
    withdrawals: tuple[Withdrawal, ...] = ()


def nominate(
    heads: Sequence[Job],
    nodes: Sequence[Node],
    running: Sequence[Job],
    limits: Limits,
    now: float,
    avoid: Avoid = frozenset(),
    strays: Sequence[WorkflowStatus] = (),
    unfit: Mapping[str, str] = MappingProxyType({}),
    left_s: Mapping[str, float | None] = MappingProxyType({}),
    turned_away: frozenset[str] = frozenset(),
    held: Mapping[str, Reason] = MappingProxyType({}),
) -> Nomination:
    """Admissions in strict order, and a reason for every head that stays.

    A job is passed over only if its user runs as many as allowed, if no known node could ever hold its GPUs, or if its
    workflow cannot be made now; a head that merely does not fit is not overtaken. `avoid`: (job id, node) pairs to pass
    over; `strays`: live workflows of no admitted job, which hold what they hold until they end; `unfit`: template ->
    why it cannot be used now; `left_s`: running job -> how long it is expected to take still; `turned_away`: admitted
    jobs whose node does not take them now; `held`: job -> why it is not to be tried now.
    """
    ledger = Ledger()
    for job in running:
        ledger.book(job, job.node, job.gpu_uuids)
    for stray in strays:
        ledger.book_stray(stray)
    withdrawals = _withdraw(running, nodes, ledger, limits, avoid, turned_away)
    admissions: list[Admission] = []
    reasons: list[tuple[Job, Reason]] = []
    cause = ""
    for job in heads:
        place = f"{ordinal(len(reasons) + 1)} in line"
        passed = held.get(job.job_id) or _passed_over(job, nodes, ledger, limits, unfit)
        if passed is not None:
            reasons.append((job, Reason(passed.code, f"{place}; {passed.message}")))
            continue
        if cause:
            reasons.append((job, Reason(ReasonCode.WAITING_TURN, f"{place}; {cause}")))
            continue
        found = _place(job, nodes, ledger, limits, avoid)
        if found is not None and ledger.slots < limits.max_running:
            ledger.book(job, found.node, found.gpu_uuids)
            admissions.append(found)
            continue
        if ledger.slots >= limits.max_running:
            blocked = slots_full(
                [*running, *(admission.job for admission in admissions)], now, left_s
            )
        else:
            blocked = no_node_passes(job, nodes, ledger, limits, avoid)
        cause = blocked.message
        reasons.append((job, Reason(blocked.code, f"{place}; {cause}")))
    wants_more = not cause and ledger.slots < limits.max_running
    return Nomination(tuple(admissions), tuple(reasons[:REASONS_WRITTEN]), wants_more, withdrawals)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st …"""
    last = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{last}"


def _passed_over(
    job: Job, nodes: Sequence[Node], ledger: Ledger, limits: Limits, unfit: Mapping[str, str]
) -> Reason | None:
    user = job.spec.user
    if job.spec.workflow in unfit:  # an admin's fault: the job keeps its place, and holds nobody up
        return Reason(ReasonCode.TEMPLATE_INVALID, unfit[job.spec.workflow])
    if ledger.users[user] >= limits.max_per_user:
        text = f"{user} already runs {ledger.users[user]} of at most {limits.max_per_user} at once"
        return Reason(ReasonCode.USER_LIMIT, text)
    there = [node for node in nodes if not node.is_dead]
    sizes = [len(node.snapshot.gpus) for node in there if node.snapshot]
    all_known = bool(there) and len(sizes) == len(there)
    if limits.require_gpu and all_known and max(sizes) < job.spec.gpus and max(sizes) > 0:
        return Reason(
            ReasonCode.NEVER_FITS,
            f"asks for {job.spec.gpus} GPUs, but the largest node has {max(sizes)}",
        )
    return None


def _place(
    job: Job, nodes: Sequence[Node], ledger: Ledger, limits: Limits, avoid: Avoid
) -> Admission | None:
    """Best fit: of the nodes that pass, the one where the fewest GPUs stay free, so that large jobs find room."""
    fits = [
        (left, node)
        for node in nodes
        if (job.job_id, node.name) not in avoid
        and (left := _left_free(job, node, ledger, limits)) is not None
    ]
    if not fits:
        return None
    _, node = min(fits, key=lambda fit: (fit[0], fit[1].name))
    gives = free_uuids(node.snapshot, ledger) if limits.pins_gpus and node.snapshot else ()
    return Admission(job, node.name, gives[: job.spec.gpus])


def _left_free(job: Job, node: Node, ledger: Ledger, limits: Limits) -> int | None:
    """How many GPUs would stay free with the job on this node; None where it cannot go there now."""
    if node.snapshot is None or node.shut or not node.snapshot.available:
        return None
    if (
        not limits.require_gpu and not node.snapshot.gpus
    ):  # a laptop or a CPU cluster: such a node is one slot
        return None if node.name in ledger.nodes else 0
    left = free_count(node.snapshot, ledger, limits) - job.spec.gpus
    return left if left >= 0 else None


def _withdraw(
    running: Sequence[Job],
    nodes: Sequence[Node],
    ledger: Ledger,
    limits: Limits,
    avoid: Avoid,
    turned_away: frozenset[str],
) -> tuple[Withdrawal, ...]:
    """Where admitted jobs that their node turned away could go; what they would take there is kept for them.

    For one that is being withdrawn already room is kept too: it was admitted before any that waits.
    """
    found = []
    for job in running:
        is_underway = job.withdrawn_uid is not None
        if job.phase is not Phase.ADMITTED or not (is_underway or job.job_id in turned_away):
            continue
        others = [node for node in nodes if node.name != job.node]
        place = _place(job, others, ledger, limits, avoid)
        if place is None:
            continue
        ledger.hold(place.node, job.spec.gpus, place.gpu_uuids)
        if not is_underway and job.cancel_requested_at is None:
            found.append(Withdrawal(job, place.node))
    return tuple(found)
