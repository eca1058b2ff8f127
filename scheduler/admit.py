"""Step 6 of the cycle: an admission made so. Redis first, then the engine, under a name that is taken only once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobqueue.errors import InvalidTransition, NoFreeSlot
from jobqueue.failpoints import failpoint
from jobqueue.job import Job, Result
from jobqueue.leader import Leader
from jobqueue.log import get_logger
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from scheduler.admission import Admission, Limits
from scheduler.alerts import Alerts
from scheduler.engine import (
    Engine,
    EngineForbidden,
    EngineUnavailable,
    Placement,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowRejected,
)
from scheduler.outage import Outage
from scheduler.poison import MAX_BREAKS, put_aside, put_aside_if_poison
from scheduler.settings import SchedulerSettings
from workflows.render import TemplateError, load_template, render, workflow_name

log = get_logger(__name__)


class Admitter:
    def __init__(
        self,
        engine: Engine,
        alerts: Alerts,
        cluster: Outage,
        settings: SchedulerSettings,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._engine, self._alerts, self._cluster = engine, alerts, cluster
        self._templates: Path = settings.workflow_template.parent
        self._require_gpu, self._limits, self._clock = settings.require_gpu, limits, clock

    def admit(self, leader: Leader, admission: Admission) -> bool:
        """Admit one job and make its workflow; tells whether it holds a slot now."""
        job = leader.store.job(admission.job.job_id)  # with the config's text
        if job.breaks >= MAX_BREAKS:
            put_aside(leader, job, self._clock(), "it was admitted, but its workflow was never made", self._alerts)
            return False
        with put_aside_if_poison(leader, job, self._clock, self._alerts):
            return self._admit(leader, job, admission)
        return False

    def _admit(self, leader: Leader, job: Job, admission: Admission) -> bool:
        try:
            template = load_template(self._templates, job.spec.workflow)
        except TemplateError as error:  # an admin's fault, not the job's: it keeps its place
            leader.set_reasons([(job, Reason(ReasonCode.ENGINE_UNAVAILABLE, str(error)))])
            self._alerts.once(str(error), "Mend the template; then the scheduler goes on by itself.")
            return False
        workflow = render(template, job, node=admission.node, require_gpu=self._require_gpu)
        failpoint("scheduler.admit.before")
        if not self._take_slot(leader, job, admission):
            return False
        failpoint("scheduler.admit.after")
        log.info("Admitted.", job_id=job.job_id, node=admission.node, gpus=admission.gpu_uuids, attempt=job.attempt)
        if not leader.confirm(
            job.job_id
        ):  # the lead and the cancel intent, looked at once more right before the create
            leader.requeue(job.job_id, self._clock(), Reason(ReasonCode.CANCELLED, "Cancelled by its user."))
            return False
        return self._make(leader, job, workflow, Placement(admission.node, admission.gpu_uuids))

    def _take_slot(self, leader: Leader, job: Job, admission: Admission) -> bool:
        try:
            leader.admit(
                job,
                self._clock(),
                node=admission.node,
                gpu_uuids=admission.gpu_uuids,
                workflow_name=workflow_name(job),
                message=f"Starts on {admission.node}.",
                max_running=self._limits.max_running,
                max_per_user=self._limits.max_per_user,
            )
        except (InvalidTransition, NoFreeSlot):
            return False  # cancelled a moment ago, or the slot is gone: the next cycle decides anew
        return True

    def _make(self, leader: Leader, job: Job, workflow: dict[str, Any], placement: Placement) -> bool:
        try:
            uid = self._engine.create(workflow, job.spec.config_text, placement)
        except WorkflowExists:
            return self._adopt(leader, job)
        except WorkflowRejected as error:
            reason = Reason(ReasonCode.REJECTED, f"The engine refuses this workflow: {error}")
            leader.finish(job.job_id, Phase.FAILED, self._clock(), reason, Result())
            log.error("Rejected.", job_id=job.job_id, reason=reason.message)
            return False
        except (WorkflowNotMade, EngineForbidden) as error:
            self._give_back(leader, job, error)
            return False
        except EngineUnavailable as error:  # it may exist: the slot is kept until the engine was asked by name
            log.warning("No answer to the create; asking by name next.", job_id=job.job_id, error=str(error))
            self._cluster.failed(str(error), "Mend the engine; the scheduler goes on by itself.")
            return True
        failpoint("scheduler.create.after")
        leader.record_workflow(job.job_id, workflow["metadata"]["name"], uid)
        failpoint("scheduler.record.after")
        return True

    def _adopt(self, leader: Leader, job: Job) -> bool:
        name = workflow_name(job)
        present = self._engine.get(name)
        if present is None or present.job_id != job.job_id:
            text = f"The name {name} is taken by an object that is not this job's; remove it, then retry the job."
            leader.finish(job.job_id, Phase.FAILED, self._clock(), Reason(ReasonCode.NAME_TAKEN, text), Result())
            return False
        leader.record_workflow(job.job_id, name, present.uid)
        return True

    def _give_back(self, leader: Leader, job: Job, error: Exception) -> None:
        """The founding document's failed create: HDEL running_jobs, an error in the log, next try in a later cycle."""
        leader.requeue(job.job_id, self._clock(), Reason(ReasonCode.ENGINE_UNAVAILABLE, str(error)))
        log.error("Its workflow was not made; the job is next again.", job_id=job.job_id, error=str(error))
        if isinstance(error, EngineForbidden):
            self._alerts.once(str(error), "Give the scheduler back what it needs; then it goes on by itself.")
