"""Which queued job starts where: a pure function of the queue, the snapshots, what runs, and the limits."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from jobqueue.eta import in_words
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.resources import Gpu, NodeSnapshot, free_gpus
from scheduler.engine import WorkflowStatus

#: Reasons are written for this many jobs; the API words the rest from their position.
REASONS_WRITTEN = 100


@dataclass(frozen=True)
class Node:
    """What is known of a node in this cycle: its monitor's snapshot, or why there is none that can be trusted."""

    name: str
    snapshot: NodeSnapshot | None = None
    error: str = ""


@dataclass(frozen=True)
class Limits:
    max_running: int = 1
    max_per_user: int = 1
    require_gpu: bool = True


@dataclass(frozen=True)
class Admission:
    """A decision: this job, on this node, with these GPUs (none where the node has none)."""

    job: Job
    node: str
    gpu_uuids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Nomination:
    """The admissions of one cycle, and why the others wait."""

    admissions: tuple[Admission, ...] = ()
    reasons: tuple[tuple[Job, Reason], ...] = ()
    wants_more: bool = False  #: slots are left, and every head was passed over: look further down the queue


@dataclass
class _Ledger:
    """What is promised already: capacity counts as free only by this ledger AND by measurement."""

    slots: int = 0
    users: Counter[str] = field(default_factory=Counter)
    uuids: set[str] = field(default_factory=set)
    nodes: set[str | None] = field(default_factory=set)

    def book(self, user: str, node: str | None, gpu_uuids: Iterable[str]) -> None:
        self.slots += 1
        self.users[user] += 1
        self.uuids.update(gpu_uuids)
        self.nodes.add(node)


def nominate(
    heads: Sequence[Job],
    nodes: Sequence[Node],
    running: Sequence[Job],
    limits: Limits,
    now: float,
    avoid: frozenset[tuple[str, str]] = frozenset(),
    strays: Sequence[WorkflowStatus] = (),
    unfit: Mapping[str, str] = MappingProxyType({}),
    left_s: Mapping[str, float | None] = MappingProxyType({}),
) -> Nomination:
    """Admissions in strict order, and a reason for every head that stays.

    A job is passed over only if its user runs as many as allowed, or if no known node could ever hold its GPUs; a head
    that merely does not fit now is not overtaken. `avoid`: (job id, node) pairs to pass over; `strays`: live workflows
    of no admitted job, which hold what they hold until they end; `unfit`: template -> why it cannot be used now;
    `left_s`: running job -> how long it is expected to take still.
    """
    ledger = _Ledger()
    for job in running:
        ledger.book(job.spec.user, job.node, job.gpu_uuids)
    for stray in strays:
        ledger.book("", stray.node, stray.gpu_uuids)
    admissions: list[Admission] = []
    reasons: list[tuple[Job, Reason]] = []
    cause = ""
    for job in heads:
        place = f"{ordinal(len(reasons) + 1)} in line"
        passed = _passed_over(job, nodes, ledger, limits, unfit)
        if passed is not None:
            reasons.append((job, Reason(passed.code, f"{place}; {passed.message}")))
            continue
        if cause:
            reasons.append((job, Reason(ReasonCode.WAITING_TURN, f"{place}; {cause}")))
            continue
        found = _place(job, nodes, ledger, limits, avoid)
        if found is not None and ledger.slots < limits.max_running:
            ledger.book(job.spec.user, found.node, found.gpu_uuids)
            admissions.append(found)
            continue
        admitted = [admission.job for admission in admissions]
        blocked = _why_blocked(job, nodes, [*running, *admitted], ledger, limits, now, avoid, left_s)
        cause = blocked.message
        reasons.append((job, Reason(blocked.code, f"{place}; {cause}")))
    wants_more = not cause and ledger.slots < limits.max_running
    return Nomination(tuple(admissions), tuple(reasons[:REASONS_WRITTEN]), wants_more)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st …"""
    last = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"


def _passed_over(
    job: Job, nodes: Sequence[Node], ledger: _Ledger, limits: Limits, unfit: Mapping[str, str]
) -> Reason | None:
    user = job.spec.user
    if job.spec.workflow in unfit:  # an admin's fault: the job keeps its place, and holds nobody up
        return Reason(ReasonCode.ENGINE_UNAVAILABLE, unfit[job.spec.workflow])
    if ledger.users[user] >= limits.max_per_user:
        text = f"{user} already runs {ledger.users[user]} of at most {limits.max_per_user} at once"
        return Reason(ReasonCode.USER_LIMIT, text)
    sizes = [len(node.snapshot.gpus) for node in nodes if node.snapshot]
    all_known = bool(nodes) and len(sizes) == len(nodes)
    if limits.require_gpu and all_known and max(sizes) < job.spec.gpus and max(sizes) > 0:
        return Reason(ReasonCode.NEVER_FITS, f"asks for {job.spec.gpus} GPUs, but the largest node has {max(sizes)}")
    return None


def _place(
    job: Job, nodes: Sequence[Node], ledger: _Ledger, limits: Limits, avoid: frozenset[tuple[str, str]]
) -> Admission | None:
    for node in nodes:
        if (job.job_id, node.name) in avoid or node.snapshot is None or not node.snapshot.available:
            continue
        if not limits.require_gpu and not node.snapshot.gpus:  # a laptop or a CPU cluster: such a node is one slot
            if node.name not in ledger.nodes:
                return Admission(job, node.name)
            continue
        free = free_gpus(node.snapshot, ledger.uuids)
        if len(free) >= job.spec.gpus:
            return Admission(job, node.name, tuple(gpu.uuid for gpu in free[: job.spec.gpus]))
    return None


def _why_blocked(
    job: Job,
    nodes: Sequence[Node],
    running: Sequence[Job],
    ledger: _Ledger,
    limits: Limits,
    now: float,
    avoid: frozenset[tuple[str, str]],
    left_s: Mapping[str, float | None],
) -> Reason:
    if ledger.slots >= limits.max_running:
        return Reason(ReasonCode.SLOTS_FULL, _who_runs(running, now, left_s))
    if not nodes:
        return Reason(ReasonCode.MONITOR_UNAVAILABLE, "no resource monitor is known")
    if all(node.snapshot is None for node in nodes):
        return Reason(ReasonCode.MONITOR_UNAVAILABLE, "; ".join(f"{node.name}: {node.error}" for node in nodes[:3]))
    words = [word for node in nodes if (word := _why_not(job, node, ledger, avoid))]
    return Reason(ReasonCode.RESOURCES_BUSY, "; ".join(words[:3]) or "no node is free")


def _who_runs(running: Sequence[Job], now: float, left_s: Mapping[str, float | None]) -> str:
    if not running:
        return "a training runs that the queue has no record of; it counts until it ends"
    first = running[0]
    if first.phase is Phase.QUEUED:  # admitted in this very cycle
        return f"{first.job_id} starts just now"
    since = first.started_at or first.admitted_at or now
    others = f" and {len(running) - 1} more" if len(running) > 1 else ""
    state = "has been running for" if first.phase is Phase.RUNNING else "is starting since"
    left = left_s.get(first.job_id)
    still = "" if left is None else f", about {in_words(left)} left"
    return f"{first.job_id} {state} {in_words(now - since)}{still}{others}"


def _why_not(job: Job, node: Node, ledger: _Ledger, avoid: frozenset[tuple[str, str]]) -> str:
    if node.snapshot is None:
        return f"{node.name}: {node.error}"
    if (job.job_id, node.name) in avoid:
        return f"{node.name} turned out to be busy when this job started there"
    if not node.snapshot.available:
        return f"{node.name}: " + "; ".join(reason.message.rstrip(".") for reason in node.snapshot.reasons[:2])
    free, reserved = free_gpus(node.snapshot, ledger.uuids), _reserved(node.snapshot.gpus, ledger)
    if node.snapshot.gpus:
        held = f" ({reserved} held by running jobs)" if reserved else ""
        others = _why_not_the_others(node.snapshot, ledger)
        return f"{node.name} has {len(free)} of {job.spec.gpus} GPUs free{held}{others}"
    return f"{node.name} is taken by a running job"


def _why_not_the_others(snapshot: NodeSnapshot, ledger: _Ledger) -> str:
    """What keeps GPUs from being free that no job of ours holds."""
    ours = {gpu.index for gpu in snapshot.gpus if gpu.uuid in ledger.uuids}
    foreign = [reason for reason in snapshot.reasons if reason.gpu is not None and reason.gpu not in ours]
    return "".join(f"; {reason.message.rstrip('.')}" for reason in foreign[:2])


def _reserved(gpus: Sequence[Gpu], ledger: _Ledger) -> int:
    return sum(gpu.uuid in ledger.uuids for gpu in gpus)
