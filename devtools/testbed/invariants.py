"""One function that looks at Redis and at the engine and says what is wrong; every fault test ends
with it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobqueue.errors import CorruptEntry, JobNotFound
from jobqueue.job import Job, QueueEntry
from jobqueue.phase import Phase
from jobqueue.store.client import Store

_ALL = 1_000_000


@dataclass(frozen=True)
class LiveWorkflow:
    """A workflow of the engine of which something may still run; none on a node that was declared
    dead does.
    """

    name: str
    job_id: str


def violations(
    store: Store,
    live: Iterable[LiveWorkflow],
    acknowledged: Iterable[str] = (),
    in_flight: int = 0,
    gpus: Mapping[str, int] = MappingProxyType({}),
) -> list[str]:
    """Every broken promise as a sentence; an empty list is what a healthy system gives.

    `acknowledged`: job ids that were answered with 202; `in_flight`: how many admissions or endings
    may be between the engine and Redis at this moment (0 when everything is at rest); `gpus`: node
    -> how many it has, where known.
    """
    live = list(live)
    queued, slots, found = _queued_ids(store), _slots(store), []
    found += _queue_in_step(store, queued)
    found += _phases(store, set(acknowledged) | set(queued) | set(slots), queued, slots)
    found += [
        f"{n} workflows of {job} are alive"
        for job, n in Counter(w.job_id for w in live).items()
        if n > 1
    ]
    found += _gpus_promised_once(store, gpus)
    running = [job for job in slots if job is not None]
    if abs(len(slots) - len(live)) > in_flight:
        alive = sorted(workflow.name for workflow in live)
        found.append(f"running_jobs has {sorted(map(str, running))}, alive are {alive}")
    return found


def _queued_ids(store: Store) -> list[str]:
    return [_id(raw) or f"unreadable: {raw[:80]}" for raw in store.queue_raw(0, _ALL)]


def _slots(store: Store) -> list[str]:
    return [_id(raw) or f"unreadable: {raw[:80]}" for raw in store.running_raw().values()]


def _id(raw: str) -> str | None:
    try:
        return QueueEntry.decode(raw).job_id
    except CorruptEntry:
        return None


def _queue_in_step(store: Store, queued: list[str]) -> list[str]:
    order = store.order(0, _ALL)
    return [] if order == queued else [f"job_queue has {queued}, queue_order has {order}"]


def _gpus_promised_once(store: Store, gpus: Mapping[str, int]) -> list[str]:
    """By name where the engine pins them, by number where it counts them."""
    running = store.running()
    uuids = Counter(uuid for job in running for uuid in job.gpu_uuids)
    held: Counter[str] = Counter()
    for job in running:
        held[job.node or ""] += job.spec.gpus
    doubled = [f"{uuid} is promised to {n} jobs" for uuid, n in uuids.items() if n > 1]
    over = [
        f"{node} has {gpus[node]} GPUs, {n} are promised"
        for node, n in held.items()
        if n > gpus.get(node, n)
    ]
    return doubled + over


def _phases(store: Store, known: set[str], queued: list[str], slots: list[str]) -> list[str]:
    finished, found = Counter(store.finished(0, _ALL)), []
    for job_id in sorted(known):
        try:
            job = store.job(job_id)
        except (JobNotFound, CorruptEntry) as error:
            found.append(f"{job_id} is lost: {error}")
            continue
        found += _one_phase(job, queued.count(job_id), slots.count(job_id), finished[job_id])
        if job.phase is Phase.QUEUED and job_id not in store.user_queue(job.spec.user, _ALL):
            found.append(f"{job_id} is queued, but not in its user's queue")
    return found


def _one_phase(job: Job, in_queue: int, in_slots: int, in_history: int) -> list[str]:
    expected = (
        int(job.phase is Phase.QUEUED),
        int(job.phase.holds_slot),
        int(job.phase.is_finished),
    )
    found = []
    if (in_queue, in_slots, in_history) != expected:
        where = f"job_queue: {in_queue}, running_jobs: {in_slots}, finished_jobs: {in_history}"
        found.append(f"{job.job_id} is {job.phase}, but its entries are {where}")
    if job.phase is not Phase.SUCCEEDED and not job.reason.message:
        found.append(f"{job.job_id} is {job.phase} without a reason")
    return found
