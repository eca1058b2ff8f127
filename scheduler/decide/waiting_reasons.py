"""Explain why a job cannot start now: which jobs run, and what each node lacks."""

from collections.abc import Sequence

from jobqueue.eta import in_words
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.resources import NodeSnapshot
from scheduler.decide.capacity import Ledger, Limits, Node, free_count
from scheduler.decide.snapshot import CycleSnapshot

_MOST_NAMED = 3  # nodes


def slots_full(running: Sequence[Job], snapshot: CycleSnapshot) -> Reason:
    """Return the reason of a job that waits because all of MAX_RUNNING_JOBS are taken."""
    return Reason(ReasonCode.SLOTS_FULL, _who_runs(running, snapshot))


def no_node_passes(job: Job, snapshot: CycleSnapshot, ledger: Ledger) -> Reason:
    """Return the reason of a job that waits with a slot free, because no node can take it."""
    nodes = snapshot.nodes
    if not nodes:
        return Reason(ReasonCode.MONITOR_UNAVAILABLE, "no resource monitor is known")
    is_blind = all(node.snapshot is None for node in nodes)
    code = ReasonCode.MONITOR_UNAVAILABLE if is_blind else ReasonCode.RESOURCES_BUSY
    words = [_why_not(job, node, snapshot, ledger) for node in nodes[:_MOST_NAMED]]
    return Reason(code, "; ".join(words))


def _who_runs(running: Sequence[Job], snapshot: CycleSnapshot) -> str:
    if not running:
        return "an unmanaged workflow occupies the slot until it finishes"
    first, more = running[0], len(running) - 1
    others = "" if not more else f"; {more} more {'job runs' if more == 1 else 'jobs run'}"
    if first.phase is Phase.QUEUED:  # admitted in this very cycle
        return f"{first.job_id} is starting now{others}"
    since = first.started_at or first.admitted_at or snapshot.now
    state = "running" if first.phase is Phase.RUNNING else "starting"
    left = snapshot.remaining_s.get(first.job_id)
    still = "" if left is None else f", with about {in_words(left)} left"
    lasted = in_words(snapshot.now - since)
    return f"{first.job_id} has been {state} for {lasted}{still}{others}"


def _why_not(job: Job, node: Node, snapshot: CycleSnapshot, ledger: Ledger) -> str:
    if node.snapshot is None:
        return f"{node.name}: {node.error}"
    if node.not_accepting:
        return f"{node.name} is not accepting jobs: {node.not_accepting.rstrip('.')}"
    if (job.job_id, node.name) in snapshot.cooldowns:
        return (
            f"skipping {node.name} for up to a minute: this job could not run there when it was "
            "last tried"
        )
    return _what_it_lacks(job, node.snapshot, ledger, snapshot.limits)


def _what_it_lacks(job: Job, node: NodeSnapshot, ledger: Ledger, limits: Limits) -> str:
    total, promised = len(node.gpus), _promised(node, ledger, limits)
    if not node.available and not 0 < total <= promised:
        reasons = "; ".join(reason.message.rstrip(".") for reason in node.reasons[:2])
        return f"{node.node}: {reasons}"
    if not total:
        return f"{node.node} is taken by a running job"
    free = free_count(node, ledger, limits)
    ours = f" ({promised} promised to running jobs)" if promised else ""
    count = f"{free} free GPU{'' if free == 1 else 's'}"
    others = _other_users(node, ledger, limits)
    return f"{node.node} has {count}{ours}; the job needs {job.spec.gpus}{others}"


def _promised(node: NodeSnapshot, ledger: Ledger, limits: Limits) -> int:
    if limits.pins_gpus:
        return sum(gpu.uuid in ledger.uuids for gpu in node.gpus)
    return ledger.promised[node.node]


def _other_users(node: NodeSnapshot, ledger: Ledger, limits: Limits) -> str:
    """Return what uses GPUs besides the jobs of the queue."""
    ours = {gpu.index for gpu in node.gpus if gpu.uuid in ledger.uuids}
    busy = [reason for reason in node.reasons if reason.gpu is not None and reason.gpu not in ours]
    running = ledger.promised[node.node] - ledger.starting[node.node]
    if not limits.pins_gpus and len({reason.gpu for reason in busy}) <= running:
        busy = []  # the queue's own jobs account for them
    return "".join(f"; {reason.message.rstrip('.')}" for reason in busy[:2])
