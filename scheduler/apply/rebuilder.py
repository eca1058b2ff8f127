"""Jobs that Redis has lost, restored from what their workflows carry (labels, the submission, the config beside)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jobqueue.clock import seconds
from jobqueue.errors import CorruptEntry
from jobqueue.failpoints import failpoint
from jobqueue.job import Job, JobSpec, QueueEntry, check_whole
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from scheduler.apply.isolate_job import REMEDY
from scheduler.decide.actions import Finish
from scheduler.decide.next_action import decide
from scheduler.engines.contract import Engine, WorkflowPhase, WorkflowRefused, WorkflowStatus
from scheduler.health.alerts import Alerts
from scheduler.settings import SchedulerSettings
from workflows.render import workflow_name

log = get_logger(__name__)

_LOST = "Redis had lost this job; its record was restored from its workflow."


@dataclass(frozen=True)
class Restored:
    """A lost job's record as it shall be, and its run time (s) where it is worth learning from."""

    job: Job
    run_time_s: float | None = None


def restored(workflow: WorkflowStatus, config_text: str | None, now: float) -> Restored | None:
    """The record that follows from a workflow; None where it carries no submission, or one that is not its own."""
    try:
        job = _job(workflow, config_text or "", now)
    except (CorruptEntry, KeyError, TypeError, ValueError):
        return None
    if job.job_id != workflow.job_id or workflow_name(job) != workflow.name:
        return None
    return Restored(job) if workflow.is_live else _ended(job, workflow, now)


def _job(workflow: WorkflowStatus, config_text: str, now: float) -> Job:
    submission: Any = workflow.submission
    entry = QueueEntry.decode(json.dumps(submission["entry"], ensure_ascii=False))
    spec = JobSpec.from_hash({**submission, "config_text": config_text})
    check_whole(entry, spec)
    submitted_at, runs = seconds(f"{entry.timestamp}Z"), workflow.phase is WorkflowPhase.RUNNING
    return Job(
        job_id=entry.job_id,
        spec=spec,
        entry=entry.encode(),
        phase=Phase.RUNNING if runs or workflow.started_at else Phase.ADMITTED,
        reason=Reason(ReasonCode.RUNNING if runs else ReasonCode.STARTING, _LOST),
        submitted_at=submitted_at,
        queued_at=submitted_at,
        admitted_at=workflow.started_at or now,
        started_at=workflow.started_at or (now if runs else None),
        attempt=workflow.attempt,
        node=workflow.node,
        gpu_uuids=workflow.gpu_uuids,
        workflow_name=workflow.name,
        workflow_uid=workflow.uid,
    )


def _ended(job: Job, workflow: WorkflowStatus, now: float) -> Restored:
    """As it would have been finished; but nobody knows whether one that was evicted was queued again since."""
    *_, last = decide(job, workflow, now)
    if isinstance(last, Finish):
        at = last.at or workflow.started_at or now
        ended = replace(
            job, phase=last.phase, reason=last.reason, result=last.result, finished_at=at
        )
        return Restored(ended, last.run_time_s)
    text = "Its container was taken away, and then Redis lost the job; a retry goes on from its checkpoint."
    at = workflow.finished_at or workflow.started_at or now
    reason = Reason(ReasonCode.EVICTED, text)
    return Restored(replace(job, phase=Phase.FAILED, reason=reason, finished_at=at))


class Rebuilder:
    """Writes the records of lost jobs; a workflow that cannot be restored is looked at once."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        alerts: Alerts,
        settings: SchedulerSettings,
        clock: Callable[[], float],
        beat: Callable[[], None],
    ) -> None:
        self._store, self._engine, self._alerts, self._settings, self._clock = (
            store,
            engine,
            alerts,
            settings,
            clock,
        )
        self._beat = beat
        self._passed: set[str] = set()  # uids of those that cannot be restored

    def run(self, leader: Leader, unknown: list[WorkflowStatus]) -> bool:
        """Restore what can be of these workflows, which have no record; tells whether there was any."""
        jobs = [
            job for workflow in self._worth(unknown) if (job := self._restore(leader, workflow))
        ]
        if jobs:
            self._tell(jobs)
        return bool(jobs)

    def _worth(self, unknown: list[WorkflowStatus]) -> list[WorkflowStatus]:
        """The newest attempt of each job, without tombstones that the history has no room for (it was trimmed then)."""
        newest = {
            each.job_id: each
            for each in sorted(unknown, key=lambda each: each.attempt)
            if each.job_id
        }
        fresh = [each for each in newest.values() if each.uid not in self._passed]
        ended = sorted((each for each in fresh if not each.is_live), key=_end, reverse=True)
        if ended:
            room = max(0, self._settings.history_jobs - self._store.finished_length())
            oldest = self._clock() - self._settings.history_s
            ended = [each for each in ended[:room] if _end(each) > oldest]
        return [each for each in fresh if each.is_live] + ended

    def _restore(self, leader: Leader, workflow: WorkflowStatus) -> Job | None:
        self._beat()
        try:
            text = self._engine.config_text(workflow) if workflow.submission else None
        except WorkflowRefused as error:
            self._alerts.once(f"{workflow.name}: {error}", REMEDY)
            return None
        found = restored(workflow, text, self._clock()) if workflow.submission else None
        done = found is not None and leader.restore(found.job, self._clock(), found.run_time_s)
        if found is None or not done:
            self._passed.add(workflow.uid)
            return None
        failpoint("rebuild.restored")
        log.warning(
            "Restored from its workflow.",
            job_id=found.job.job_id,
            status=found.job.phase,
            node=found.job.node,
        )
        return found.job

    def _tell(self, jobs: list[Job]) -> None:
        live = [job.job_id for job in jobs if job.phase.holds_slot]
        without = sum(not job.spec.config_text for job in jobs)
        some = f" ({_few(live)})" if live else ""
        lacking = (
            f" The config of {without} is gone: submit these anew, do not retry them."
            if without
            else ""
        )
        ended = f"{len(jobs) - len(live)} that have ended"
        self._alerts.send(
            f"Redis had lost jobs; {len(live)} that run{some} and {ended} were restored from their workflows.{lacking}",
            "What was waiting stands in no workflow: gpuq admin restore FILE, with the last gpuq admin backup.",
        )


def _end(workflow: WorkflowStatus) -> float:
    return workflow.finished_at or workflow.started_at or 0


def _few(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
