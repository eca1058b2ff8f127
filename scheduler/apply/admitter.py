"""Carry out an admission: in Redis, then in the engine, under a name that is used only once."""

from collections.abc import Iterable
from typing import Any

from jobqueue.errors import InvalidTransition, NoFreeSlot, StaleLeader
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader, Outcome, Recorded, RequeueEffect, SlotLimits, Start
from scheduler.apply.isolate_job import MAX_BREAKS, fail_with_internal_error, isolated
from scheduler.apply.open_creates import OpenCreates
from scheduler.apply.recording import record_workflow
from scheduler.context import Context
from scheduler.decide.next_action import name_taken
from scheduler.decide.nominate import Admission
from scheduler.engines.contract import (
    Engine,
    EngineError,
    EngineForbidden,
    EngineUnavailable,
    Placement,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowRejected,
)
from scheduler.health.create_backoff import CreateBackoff
from scheduler.templates import Templates
from workflows.render import render, workflow_name

log = get_logger(__name__)

_LACKS_SOMETHING = (
    "Give the scheduler what it lacks (a permission, disk space); it retries by itself."
)


class Admitter:
    """The admitter admits jobs, and knows which creates back off."""

    def __init__(
        self,
        context: Context,
        templates: Templates,
        creates: OpenCreates,
        backoff: CreateBackoff,
    ) -> None:
        self._context = context
        self._templates = templates
        self._creates = creates
        self._backoff = backoff

    def backoffs(self, heads: Iterable[Job]) -> dict[str, Reason]:
        """Return which heads are not to be admitted now because creates failed, and why."""
        found, why_all = {}, self._backoff.why_all_wait()
        for job in heads:
            if own := self._backoff.why_waits(job.job_id):
                found[job.job_id] = Reason(ReasonCode.CREATE_FAILED, own)
            elif why_all:
                text = f"another job's workflow could not be created ({why_all}); retrying soon"
                found[job.job_id] = Reason(ReasonCode.WAITING_TURN, text)
        return found

    def admit(self, leader: Leader, admission: Admission) -> bool:
        """Admit one job and create its workflow; return whether it holds a slot afterwards."""
        job = leader.store.job(admission.job.job_id)  # with the config's text
        if job.breaks >= MAX_BREAKS:
            what = "it was admitted, but its workflow was never created"
            fail_with_internal_error(self._context, leader, job, what)
            return False
        with isolated(self._context, leader, job):
            return self._admit(leader, job, admission)
        return leader.store.job(job.job_id).phase.holds_slot

    def _admit(self, leader: Leader, job: Job, admission: Admission) -> bool:
        workflow = self._rendered(job, admission.node)
        failpoint("scheduler.admit.before")
        if not self._take_slot(leader, job, admission):
            return False
        failpoint("scheduler.admit.after")
        log.info(
            "Job admitted.",
            job_id=job.job_id,
            node=admission.node,
            gpus=admission.gpu_uuids,
            attempt=job.attempt,
        )
        placement = Placement(admission.node, admission.gpu_uuids)
        try:
            return self._confirm_and_create(leader, job, workflow, placement)
        except StaleLeader:
            self._creates.got_no_answer(job.job_id)
            raise

    def _rendered(self, job: Job, node: str) -> dict[str, Any]:
        settings = self._context.settings
        template = self._templates.load(job.spec.workflow)
        account = settings.unix_ids.get(job.spec.user)
        return render(template, job, node=node, require_gpu=settings.require_gpu, unix_ids=account)

    def _take_slot(self, leader: Leader, job: Job, admission: Admission) -> bool:
        settings, name = self._context.settings, workflow_name(job)
        start = Start(
            node=admission.node,
            gpu_uuids=admission.gpu_uuids,
            workflow_name=name,
            message=f"Starting on {admission.node}.",
            engine=self._engine.name,
        )
        limits = SlotLimits(settings.max_running_jobs, settings.max_running_per_user)
        try:
            leader.admit(job, self._context.now(), start, limits)
        except (InvalidTransition, NoFreeSlot):
            return False  # cancelled a moment ago, or the slot is taken: the next cycle decides
        return True

    def _confirm_and_create(
        self, leader: Leader, job: Job, workflow: dict[str, Any], placement: Placement
    ) -> bool:
        # The lead and a cancel are checked once more right before the create.
        if leader.confirm(job.job_id):
            return self._create(leader, job, workflow, placement)
        reason = Reason(ReasonCode.CANCELLED, "Cancelled by its user.")
        leader.requeue(job.job_id, self._context.now(), reason)
        return False

    def _create(
        self, leader: Leader, job: Job, workflow: dict[str, Any], placement: Placement
    ) -> bool:
        """Create the workflow; return whether the job keeps its slot."""
        try:
            uid = self._engine.create(workflow, job.spec.config_text, placement)
        except WorkflowExists:
            return self._adopt_existing(leader, job)
        except WorkflowRejected as error:
            text = f"The engine refuses this workflow: {error}"
            return self._fail(leader, job, Reason(ReasonCode.REJECTED, text))
        except (WorkflowNotMade, EngineForbidden) as error:
            return self._requeue(leader, job, error)
        except EngineUnavailable as error:
            return self._keep_slot(job, error)
        failpoint("scheduler.create.after")
        self._backoff.succeeded(job.job_id)
        name = workflow["metadata"]["name"]
        created = Recorded(name, uid, placement.node, placement.gpu_uuids)
        leader.record_workflow(job.job_id, created)
        failpoint("scheduler.record.after")
        return True

    def _keep_slot(self, job: Job, error: EngineUnavailable) -> bool:
        """Keep the job's slot until the engine is asked by name: the workflow may exist."""
        log.warning("Create got no answer.", job_id=job.job_id, error=str(error))
        self._creates.got_no_answer(job.job_id)
        remedy = "Fix the engine; scheduling continues automatically."
        self._context.alerts.once(str(error), remedy)
        return True

    def _adopt_existing(self, leader: Leader, job: Job) -> bool:
        """Handle a taken name: by this job's own workflow, by an old one, or by another object."""
        name = workflow_name(job)
        present = self._engine.get(name)
        if present is not None and present.job_id == job.job_id:
            record_workflow(leader, job, present)
            return True
        if present is not None or job.breaks >= MAX_BREAKS - 1:
            return self._fail(leader, job, name_taken(name))
        # It was just being deleted: the next create finds the name free.
        text = f"Requeued at the front: the name {name} was still taken by a deleted workflow."
        reason = Reason(ReasonCode.NAME_IN_USE, text)
        leader.requeue(job.job_id, self._context.now(), reason, RequeueEffect(breaks=True))
        return False

    def _fail(self, leader: Leader, job: Job, reason: Reason) -> bool:
        leader.finish(job.job_id, self._context.now(), Outcome(Phase.FAILED, reason))
        log.error("Job failed.", job_id=job.job_id, reason=reason.message)
        return False

    def _requeue(self, leader: Leader, job: Job, error: EngineError) -> bool:
        """Put the job back to the front of the queue: its create has failed for certain.

        docs/founding-document.md draws it: HDEL running_jobs, log the error, try again later.
        """
        self._creates.made_no_workflow(job)
        self._backoff.failed(job.job_id, error)
        reason = Reason(ReasonCode.CREATE_FAILED, str(error))
        effect = RequeueEffect(nothing_made=True)
        leader.requeue(job.job_id, self._context.now(), reason, effect)
        log.error("Workflow not created; job requeued.", job_id=job.job_id, error=str(error))
        self._context.alerts.once(str(error), _LACKS_SOMETHING)
        return False

    @property
    def _engine(self) -> Engine:
        return self._context.engines.default
