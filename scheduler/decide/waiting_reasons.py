"""The words for a job that cannot start now: who runs, and what each node lacks. Pure."""

from collections.abc import Mapping, Sequence

from jobqueue.eta import in_words
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.resources import NodeReason, NodeSnapshot
from scheduler.decide.capacity import Ledger, Limits, Node, free_count


def slots_full(running: Sequence[Job], now: float, left_s: Mapping[str, float | None]) -> Reason:
    """All of MAX_RUNNING_JOBS are taken."""
    return Reason(ReasonCode.SLOTS_FULL, _who_runs(running, now, left_s))


def no_node_passes(
    job: Job,
    nodes: Sequence[Node],
    ledger: Ledger,
    limits: Limits,
    avoid: frozenset[tuple[str, str]],
) -> Reason:
    """A slot is free, but no node can take the job."""
    if not nodes:
        return Reason(ReasonCode.MONITOR_UNAVAILABLE, "no resource monitor is known")
    if all(node.snapshot is None for node in nodes):
        return Reason(
            ReasonCode.MONITOR_UNAVAILABLE,
            "; ".join(f"{node.name}: {node.error}" for node in nodes[:3]),
        )
    words = [_why_not(job, node, ledger, limits, avoid) for node in nodes]
    return Reason(ReasonCode.RESOURCES_BUSY, "; ".join(words[:3]))


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


def _why_not(
    job: Job, node: Node, ledger: Ledger, limits: Limits, avoid: frozenset[tuple[str, str]]
) -> str:
    if node.snapshot is None:
        return f"{node.name}: {node.error}"
    if node.shut:
        return f"{node.name} takes no training now: {node.shut.rstrip('.')}"
    if (job.job_id, node.name) in avoid:
        return f"{node.name} turned out to be busy when this job started there"
    total, held = len(node.snapshot.gpus), _held(node.snapshot, ledger, limits)
    if not node.snapshot.available and not 0 < total <= held:
        return f"{node.name}: " + "; ".join(
            reason.message.rstrip(".") for reason in node.snapshot.reasons[:2]
        )
    if not total:
        return f"{node.name} is taken by a running job"
    free = free_count(node.snapshot, ledger, limits)
    ours = f" ({held} held by running jobs)" if held else ""
    return f"{node.name} has {free} of {job.spec.gpus} GPUs free{ours}{_foreign(node.snapshot, ledger, limits)}"


def _held(snapshot: NodeSnapshot, ledger: Ledger, limits: Limits) -> int:
    if limits.pins_gpus:
        return sum(gpu.uuid in ledger.uuids for gpu in snapshot.gpus)
    return ledger.held[snapshot.node]


def _foreign(snapshot: NodeSnapshot, ledger: Ledger, limits: Limits) -> str:
    """What keeps GPUs from being free that no job of ours holds."""
    ours = {gpu.index for gpu in snapshot.gpus if gpu.uuid in ledger.uuids}
    busy = [
        reason for reason in snapshot.reasons if reason.gpu is not None and reason.gpu not in ours
    ]
    if not limits.pins_gpus and len({reason.gpu for reason in busy}) <= _running(snapshot, ledger):
        busy = []  # our own jobs are reason enough
    return "".join(_words(reason) for reason in busy[:2])


def _running(snapshot: NodeSnapshot, ledger: Ledger) -> int:
    return ledger.held[snapshot.node] - ledger.starting[snapshot.node]


def _words(reason: NodeReason) -> str:
    return f"; {reason.message.rstrip('.')}"
