"""Handle workflows of no job that holds a slot.

They belong to queued or finished jobs, to jobs that Redis has lost, or to nobody.
"""

from collections.abc import Iterable
from dataclasses import replace

from jobqueue.clock import rfc3339
from jobqueue.errors import InvalidTransition
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader, SlotLimits, Start
from scheduler.apply.isolate_job import REFUSED_REMEDY
from scheduler.apply.rebuilder import Rebuilder
from scheduler.apply.recording import record_workflow
from scheduler.context import Context
from scheduler.engines.contract import WorkflowRefused, WorkflowStatus
from workflows.render import workflow_name

log = get_logger(__name__)

#: Slots are not counted against an adopted workflow: it runs, whatever the limits are.
_NO_LIMIT = SlotLimits(1_000_000, 1_000_000)


class Orphans:
    """Each of these workflows is restored, adopted, stopped or deleted, or causes one alert."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rebuilder = Rebuilder(context)
        self._reported: set[str] = set()  # uids

    def run(
        self, leader: Leader, workflows: list[WorkflowStatus]
    ) -> tuple[tuple[WorkflowStatus, ...], frozenset[str]]:
        """Handle each workflow.

        Return those that are live and occupy a slot (unmanaged), and the ids of the jobs that hold
        a slot since.
        """
        jobs, adopted = self._with_restored_jobs(leader, workflows)
        unmanaged = []
        # The newest attempt first: if Redis was set back in time, the engine is ahead of it.
        for workflow in sorted(workflows, key=lambda each: each.attempt, reverse=True):
            job = jobs.get(workflow.job_id)
            try:
                if job is not None and _must_adopt(job, workflow):
                    adopted |= self._adopt(leader, job, workflow)
                elif self._handle(job, workflow):
                    unmanaged.append(workflow)
            except WorkflowRefused as error:
                self._context.alerts.once(f"{workflow.name}: {error}", REFUSED_REMEDY)
            self._context.keep_alive()
        return tuple(unmanaged), adopted

    def _with_restored_jobs(
        self, leader: Leader, workflows: list[WorkflowStatus]
    ) -> tuple[dict[str, Job], frozenset[str]]:
        """Return the records by job id, and the ids of those that Redis had lost."""
        jobs = self._jobs_of(workflows)
        lost = [workflow for workflow in workflows if workflow.job_id not in jobs]
        restored = frozenset(self._rebuilder.run(leader, lost))
        return (self._jobs_of(workflows) if restored else jobs), restored

    def _jobs_of(self, workflows: Iterable[WorkflowStatus]) -> dict[str, Job]:
        ids = (workflow.job_id for workflow in workflows)
        return {job.job_id: job for job in self._context.store.jobs(ids)}

    def _handle(self, job: Job | None, workflow: WorkflowStatus) -> bool:
        """Return whether the workflow is unmanaged."""
        is_copy = job is not None and _is_copy(job, workflow)
        if not workflow.is_live:
            self._delete_if_old(workflow, job)
            return False
        if job is None or is_copy:
            self._report(workflow, is_copy)
            return True
        if self._is_its_own(job, workflow):
            return False
        self._context.engines.of(workflow).stop(workflow)
        failpoint("scheduler.stop.after")
        log.warning("Stopped a superseded workflow.", job_id=job.job_id, workflow=workflow.name)
        return True  # until it has ended

    def _is_its_own(self, job: Job, workflow: WorkflowStatus) -> bool:
        if not job.phase.holds_slot or job.attempt != workflow.attempt:
            return False
        return self._context.engines.of_job(job).name == workflow.engine

    def _adopt(self, leader: Leader, job: Job, workflow: WorkflowStatus) -> frozenset[str]:
        start = Start(
            node=workflow.node or "",
            gpu_uuids=workflow.gpu_uuids,
            workflow_name=workflow.name,
            message=f"Found running as {workflow.name}.",
            engine=workflow.engine,
        )
        now = self._context.now()
        try:
            leader.admit(replace(job, attempt=workflow.attempt), now, start, _NO_LIMIT)
        except InvalidTransition:
            return frozenset()  # cancelled in the meantime; the next cycle stops the workflow
        record_workflow(leader, job, workflow)
        log.warning("Adopted a queued job's workflow.", job_id=job.job_id, workflow=workflow.name)
        return frozenset({job.job_id})

    def _delete_if_old(self, workflow: WorkflowStatus, job: Job | None) -> None:
        """Delete a finished workflow after a while: a late create shall find its name taken."""
        if job is not None and not job.phase.is_finished:
            return
        ended = (job and job.finished_at) or workflow.finished_at or workflow.started_at or 0
        if self._context.now() - ended > self._context.settings.workflow_retention_s:
            self._context.engines.of(workflow).delete(workflow)
            failpoint("scheduler.delete.after")

    def _report(self, workflow: WorkflowStatus, is_copy: bool) -> None:
        if workflow.uid in self._reported:
            return
        self._reported.add(workflow.uid)
        since = rfc3339(workflow.started_at) if workflow.started_at else "just now"
        what = f"Redis has no job {workflow.job_id}"
        remedy = "If Redis was emptied, restore it; otherwise stop the workflow manually."
        if is_copy:
            what = f"it is a copy of job {workflow.job_id}'s workflow that gpuq did not create"
            remedy = "If it is not wanted, stop it: argo stop, or kubectl delete workflow."
        self._context.alerts.send(
            f"The workflow {workflow.name} is unmanaged: it runs (since {since}), but {what}. It "
            "is left alone and occupies a slot.",
            remedy,
        )


def _must_adopt(job: Job, workflow: WorkflowStatus) -> bool:
    """Return whether Redis lost the admission of this job, while its engine did not."""
    if job.phase is not Phase.QUEUED or _is_copy(job, workflow):
        return False
    return job.attempt <= workflow.attempt


def _is_copy(job: Job, workflow: WorkflowStatus) -> bool:
    """Return whether its name is not the one of this attempt's workflow (argo resubmit, say)."""
    return workflow.name != workflow_name(replace(job, attempt=workflow.attempt))
