"""Workflows of no job that holds a slot: of queued and finished ones, of jobs that Redis has lost, and of nobody's."""

from collections.abc import Callable
from dataclasses import replace

from jobqueue.clock import rfc3339
from jobqueue.errors import InvalidTransition
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Recorded, SlotLimits, Start
from scheduler.apply.isolate_job import REMEDY
from scheduler.apply.rebuilder import Rebuilder
from scheduler.engines.contract import Engine, WorkflowRefused, WorkflowStatus
from scheduler.health.alerts import Alerts
from scheduler.settings import SchedulerSettings
from workflows.render import workflow_name

log = get_logger(__name__)

#: Slots are not counted against an adopted workflow: it runs, whatever the limits say.
_NO_LIMIT = SlotLimits(1_000_000, 1_000_000)


def record_workflow(leader: Leader, job: Job, workflow: WorkflowStatus) -> None:
    """The workflow is this job's: put it into its record, with where it really is."""
    node, uuids = workflow.node or job.node or "", workflow.gpu_uuids or job.gpu_uuids
    leader.record_workflow(job.job_id, Recorded(workflow.name, workflow.uid, node, uuids))


class Tidier:
    """Keeps what it told already."""

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
        self._rebuilder = Rebuilder(store, engine, alerts, settings, clock, beat)
        self._told: set[str] = (
            set()
        )  # uids of unknown workflows and of copies that an alert was sent about

    def run(self, leader: Leader, workflows: list[WorkflowStatus]) -> list[WorkflowStatus]:
        """Restore, adopt, stop or forget each; returns those that are alive and occupy what they occupy (strays)."""
        strays: list[WorkflowStatus] = []
        jobs = self._jobs_of(workflows)
        if self._rebuilder.run(
            leader, [workflow for workflow in workflows if workflow.job_id not in jobs]
        ):
            jobs = self._jobs_of(workflows)
        # The newest attempt first: where Redis was set back in time, the engine is ahead of the record.
        for workflow in sorted(workflows, key=lambda each: each.attempt, reverse=True):
            job = jobs.get(workflow.job_id)
            try:
                self._tidy(leader, job, workflow, strays)
            except WorkflowRefused as error:
                self._alerts.once(f"{workflow.name}: {error}", REMEDY)
            self._beat()
        return strays

    def _tidy(
        self,
        leader: Leader,
        job: Job | None,
        workflow: WorkflowStatus,
        strays: list[WorkflowStatus],
    ) -> None:
        is_copy = job is not None and not _is_of(job, workflow)
        if (
            job is not None
            and not is_copy
            and job.phase is Phase.QUEUED
            and job.attempt <= workflow.attempt
        ):
            self._adopt(leader, job, workflow)
        elif not workflow.is_live:
            self._forget(workflow, job)
        elif job is None or is_copy:
            strays.append(workflow)
            self._tell(workflow, is_copy)
        elif not job.phase.holds_slot or job.attempt != workflow.attempt:
            strays.append(workflow)  # until it has ended
            self._engine.stop(workflow)
            failpoint("scheduler.stop.after")
            log.warning(
                "Stopped a workflow that its job has no use for.",
                job_id=job.job_id,
                workflow=workflow.name,
            )

    def _jobs_of(self, workflows: list[WorkflowStatus]) -> dict[str, Job]:
        return {
            job.job_id: job for job in self._store.jobs(workflow.job_id for workflow in workflows)
        }

    def _adopt(self, leader: Leader, job: Job, workflow: WorkflowStatus) -> None:
        """Redis lost the admission; the engine did not."""
        try:
            start = Start(
                workflow.node or "",
                workflow.gpu_uuids,
                workflow.name,
                f"Found running as {workflow.name}.",
            )
            leader.admit(replace(job, attempt=workflow.attempt), self._clock(), start, _NO_LIMIT)
        except InvalidTransition:
            return  # cancelled in the meantime; the next cycle stops the workflow
        record_workflow(leader, job, workflow)
        log.warning(
            "Adopted a workflow of a queued job.", job_id=job.job_id, workflow=workflow.name
        )

    def _forget(self, workflow: WorkflowStatus, job: Job | None) -> None:
        """A finished workflow stays as a tombstone for a while, so that a late create of the same name meets it."""
        if job is not None and not job.phase.is_finished:
            return
        ended = (job and job.finished_at) or workflow.finished_at or workflow.started_at or 0
        if self._clock() - ended > self._settings.workflow_retention_s:
            self._engine.delete(workflow)
            failpoint("scheduler.delete.after")

    def _tell(self, workflow: WorkflowStatus, is_copy: bool) -> None:
        if workflow.uid in self._told:
            return
        self._told.add(workflow.uid)
        since = rfc3339(workflow.started_at) if workflow.started_at else "just now"
        what = f"it is a copy, not made by gpuq, of job {workflow.job_id}'s" if is_copy else ""
        remedy = (
            "Stop it by hand where it is not wanted: argo stop, or kubectl delete workflow."
            if is_copy
            else ""
        )
        self._alerts.send(
            f"The workflow {workflow.name} runs (since {since}), but "
            f"{what or f'Redis has no job {workflow.job_id}'}; it is left alone and counts as a running job.",
            remedy or "Was Redis emptied? Restore it, or stop the workflow by hand.",
        )


def _is_of(job: Job, workflow: WorkflowStatus) -> bool:
    """Whether it bears the name that this attempt's workflow has; a copy (argo resubmit, say) bears another."""
    return workflow.name == workflow_name(replace(job, attempt=workflow.attempt))
