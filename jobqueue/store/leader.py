"""This module has the scheduler's writes.

Each carries the epoch of its lead; the scripts refuse those of a stale leader (StaleLeader).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobqueue.clock import rfc3339
from jobqueue.errors import CorruptEntry, JobNotFound
from jobqueue.job import Job, QueueEntry, Result
from jobqueue.phase import Phase
from jobqueue.reason import REASONS_WRITTEN, Reason
from jobqueue.store.client import Store

_PAGE = 500


@dataclass(frozen=True)
class Start:
    """A start places a job: its node, GPUs and workflow; `message` becomes the job's reason."""

    node: str
    gpu_uuids: tuple[str, ...]
    workflow_name: str
    message: str
    engine: str = ""


@dataclass(frozen=True)
class SlotLimits:
    """How many jobs may have a slot at once: in total, and of one user."""

    max_running: int
    max_per_user: int


@dataclass(frozen=True)
class Recorded:
    """The job's record keeps its workflow as the engine reports it."""

    name: str
    uid: str
    node: str
    gpu_uuids: tuple[str, ...]


@dataclass(frozen=True)
class RequeueEffect:
    """A requeue has these effects on the job's record, besides moving it to the queue."""

    next_attempt: bool = False  #: a container may have started, so the next one is another attempt
    counts: bool = False  #: it counts towards the requeue limit
    breaks: bool = False  #: it counts towards `internal_error`
    #: it is certain that no workflow was made: the job has waited the whole time, and another try
    #: that ends with the same reason code replaces the lines of the last one in the timeline
    nothing_made: bool = False


@dataclass(frozen=True)
class Outcome:
    """An outcome is how a job ended; `run_time_s` (None = unknown) is used for estimates."""

    phase: Phase
    reason: Reason
    result: Result = field(default_factory=Result)
    run_time_s: float | None = None


class Leader:
    """A leader may write as long as its epoch is the newest."""

    def __init__(self, store: Store, epoch: str) -> None:
        self.store = store
        self.epoch = epoch

    @classmethod
    def lead(cls, store: Store, holder: str, lease_s: float) -> "Leader | None":
        """Become or stay the leader for `lease_s`; return None while another scheduler leads."""
        epoch = str(store.run("lead", holder, int(lease_s * 1000)))
        return None if epoch == "0" else cls(store, epoch)

    @staticmethod
    def resign(store: Store, holder: str) -> None:
        store.run("resign", holder)

    @staticmethod
    def survived(store: Store, job_id: str) -> None:
        """Take back the internal error that the next leader counts for our admission.

        We lost the lead, but did not crash.
        """
        store.run("survived", job_id)

    def admit(self, job: Job, at: float, start: Start, limits: SlotLimits) -> str:
        """Move a job from the queue into a slot, which is returned.

        Raises InvalidTransition, NoFreeSlot.
        """
        uuids = json.dumps(list(start.gpu_uuids))
        args = (start.node, uuids, start.workflow_name, start.message, job.attempt, start.engine)
        caps = (limits.max_running, limits.max_per_user)
        return str(self._run("admit", job.job_id, rfc3339(at), *caps, *args))

    def record_workflow(self, job_id: str, workflow: Recorded) -> None:
        """Record the workflow of this attempt with its actual node and GPUs."""
        uuids = json.dumps(list(workflow.gpu_uuids))
        self._run("record_workflow", job_id, workflow.name, workflow.uid, workflow.node, uuids)

    def mark_running(self, job_id: str, started_at: float, message: str) -> None:
        """Record that the job's container has been running since `started_at`."""
        self._run("mark_running", job_id, rfc3339(started_at), message)

    def requeue(
        self, job_id: str, at: float, reason: Reason, effect: RequeueEffect | None = None
    ) -> Phase:
        """Put a job back to the front of the queue, and return its phase.

        A job whose cancel was requested becomes `cancelled` instead.
        """
        effect = effect or RequeueEffect()
        flags = (
            int(effect.next_attempt),
            int(effect.counts),
            int(effect.breaks),
            int(effect.nothing_made),
        )
        args = (*flags, reason.encode(), "Cancelled by its user.")
        return Phase(self._run("requeue", job_id, rfc3339(at), at, *args))

    def finish(self, job_id: str, at: float, outcome: Outcome) -> Phase:
        """Move a job into a final phase and free its slot; a finished job keeps its phase."""
        code = "" if outcome.result.exit_code is None else outcome.result.exit_code
        tail = json.dumps(outcome.result.log_tail)
        learnt = "" if outcome.run_time_s is None else f"{outcome.run_time_s:.3f}"
        args = (outcome.phase, rfc3339(at), at, outcome.reason.encode(), code, tail, learnt)
        return Phase(self._run("finish", job_id, *args))

    def withdraw(self, job_id: str, uid: str, at: float, reason: Reason) -> bool:
        """Mark the workflow of an admitted job as withdrawn; return False if it is too late."""
        return bool(self._run("withdraw", job_id, uid, rfc3339(at), reason.encode()))

    def extend_start(self, job_id: str, at: float) -> None:
        """Count an admitted job's start deadline from `at`."""
        self._run("extend_start", job_id, rfc3339(at))

    def restore(self, job: Job, at: float, run_time_s: float | None = None) -> bool:
        """Write the record of a job that Redis had lost; return False if it has one already."""
        learnt = "" if run_time_s is None else f"{run_time_s:.3f}"
        head = (
            job.job_id,
            job.spec.user,
            job.spec.config,
            job.phase,
            rfc3339(at),
            job.entry,
            job.submitted_at,
        )
        why = (job.finished_at or 0, learnt, job.reason.encode())
        fields = [word for pair in job.to_hash().items() for word in pair]
        return bool(self._run("restore", *head, *why, *fields))

    def set_reasons(self, reasons: Iterable[tuple[Job, Reason]]) -> int:
        """Write the reasons of jobs; return how many changed."""
        args = [
            word for job, reason in reasons for word in (job.job_id, job.phase, reason.encode())
        ]
        return int(self._run("set_reasons", *args)) if args else 0

    def confirm(self, job_id: str) -> bool:
        """Return, right before the create, whether the job is still to be started."""
        return bool(self._run("confirm", job_id))

    def count_break(self, job_id: str) -> int:
        """Count an internal error while handling the job; return how many since it last ran."""
        return int(self._run("count_break", job_id))

    def observe(self, heartbeat: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the heartbeat and the answer of each monitor."""
        said = [word for node, what in nodes.items() for word in (node, json.dumps(what))]
        self._run("observe", json.dumps(heartbeat), *said)

    def trim(self, older_than: float, keep: int, at_most: int = 100) -> list[str]:
        """Delete finished jobs older than `older_than` (epoch seconds) and beyond `keep`.

        Returns their ids.
        """
        return list(self._run("trim", older_than, keep, at_most))

    def repair(self, at: float) -> str:
        """Quarantine what cannot be read in the queue, in running_jobs and in the records.

        The queue and running_jobs are restored from the records. Returns what was quarantined in
        words, or "". Each cycle calls it: it is cheap if there is nothing to do.
        """
        records = self._repair_records(at)
        # Checked twice: a submission between two of its reads looks like damage.
        in_step = self._is_in_step() or self._is_in_step()
        entries = 0 if in_step else int(self._run("repair_queue", rfc3339(at))[0])
        found = {"queue entries": entries, "slots": self._repair_slots(at), "records": records}
        return ", ".join(f"{count} {what}" for what, count in found.items() if count)

    def _is_in_step(self, heads: int = REASONS_WRITTEN) -> bool:
        """Return whether job_queue and queue_order agree in length and in their first jobs."""
        store = self.store
        try:
            ids = [QueueEntry.decode(raw).job_id for raw in store.queue_raw(0, heads)]
        except CorruptEntry:
            return False
        return ids == store.order(0, heads) and store.queue_length() == store.order_length()

    def _repair_records(self, at: float) -> int:
        ids = self.store.order(0, REASONS_WRITTEN)
        lost = set(ids) - {job.job_id for job in self.store.jobs(ids)}
        for job_id in lost:
            self._run("quarantine_job", job_id, rfc3339(at))
        return len(lost)

    def _repair_slots(self, at: float) -> int:
        broken = 0
        for slot, raw in self.store.running_raw().items():
            try:
                self.store.job(QueueEntry.decode(raw).job_id)
            except (CorruptEntry, JobNotFound):
                self._run("repair_slot", slot, raw, self._claimant(slot) or "", rfc3339(at))
                broken += 1
        return broken

    def _claimant(self, slot: str) -> str | None:
        """Return the job whose record names this slot."""
        user, start = slot.partition("#")[0], 0
        while ids := self.store.user_jobs(user, start, _PAGE):
            for job in self.store.jobs(ids):
                if job.slot == slot and job.phase.holds_slot:
                    return job.job_id
            start += _PAGE
        return None

    def _run(self, script: str, *args: Any) -> Any:
        return self.store.run(script, self.epoch, *args)
