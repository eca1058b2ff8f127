"""What a create may have left in the engine that made no workflow: taken up by the next create, else removed."""

from jobqueue.job import Job
from jobqueue.store.client import Store
from scheduler.apply.isolate_job import REMEDY
from scheduler.engines.contract import Engine, WorkflowRefused
from scheduler.health.alerts import Alerts
from workflows.render import workflow_name


class Leftovers:
    """The jobs that left their slots without a workflow, and the name that each of these was to have.

    As long as such a job is queued, nothing is removed: its workflow may still come late, and needs what was made for
    it.
    """

    def __init__(self, store: Store, engine: Engine, alerts: Alerts) -> None:
        self._store, self._engine, self._alerts = store, engine, alerts
        self._names: dict[str, str] = {}

    def add(self, job: Job) -> None:
        self._names[job.job_id] = workflow_name(job)

    def clear(self) -> None:
        """Remove what belongs to jobs that have ended since; those that have their workflow now are forgotten."""
        jobs = self._store.jobs(list(self._names)) if self._names else []
        self._names = {
            job.job_id: self._names[job.job_id] for job in jobs if not self._is_done(job)
        }

    def _is_done(self, job: Job) -> bool:
        if not job.phase.is_finished:
            return job.workflow_uid is not None
        try:
            self._engine.clear(self._names[job.job_id], job.job_id)
        except WorkflowRefused as error:
            self._alerts.once(f"{job.job_id}: {error}", REMEDY)
            return False
        return True
