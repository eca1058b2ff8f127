"""Step 6 of the cycle: an admission made so. Redis first, then the engine, under a name that is taken only once."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jobqueue.errors import InvalidTransition, NoFreeSlot, StaleLeader
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Outcome, Recorded, RequeueEffect, SlotLimits, Start
from scheduler.apply.isolate_job import MAX_BREAKS, put_aside, put_aside_if_poison
from scheduler.apply.orphans import record_workflow
from scheduler.apply.unfinished_creates import Leftovers
from scheduler.decide.capacity import Limits
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
from scheduler.health.alerts import Alerts
from scheduler.health.create_backoff import Backoff
from scheduler.settings import SchedulerSettings
from workflows.render import TemplateError, load_template, render, workflow_name

log = get_logger(__name__)


class Admitter:
    """Step 6 of the cycle; `unanswered` collects the jobs whose create got no answer."""

    def __init__(
        self,
        engine: Engine,
        alerts: Alerts,
        unanswered: set[str],
        leftovers: Leftovers,
        settings: SchedulerSettings,
        limits: Limits,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._engine, self._alerts, self._unanswered, self._leftovers = (
            engine,
            alerts,
            unanswered,
            leftovers,
        )
        self._templates: Path = settings.workflow_template.parent
        self._require_gpu, self._limits, self._clock = settings.require_gpu, limits, clock
        self._unix_ids, self._backoff = settings.unix_ids, Backoff(monotonic)

    def unfit_templates(self, names: Iterable[str]) -> dict[str, str]:
        """Which of these templates cannot be used now, and why; an admin is told."""
        unfit = {}
        for name in set(names):
            try:
                load_template(self._templates, name)
            except TemplateError as error:
                unfit[name] = str(error)
                self._alerts.once(
                    str(error), "Mend the template; its jobs keep their places and start then."
                )
        return unfit

    def held(self, heads: Iterable[Job]) -> dict[str, Reason]:
        """Those of the heads that are not to be admitted now, because no workflow could be made, and why."""
        found, all_held = {}, self._backoff.holds_all()
        for job in heads:
            if own := self._backoff.holds(job.job_id):
                found[job.job_id] = Reason(ReasonCode.CREATE_FAILED, own)
            elif all_held:
                text = f"the workflow of another job could not be made, and is tried again soon: {all_held}"
                found[job.job_id] = Reason(ReasonCode.WAITING_TURN, text)
        return found

    def admit(self, leader: Leader, admission: Admission) -> None:
        """Admit one job and make its workflow."""
        job = leader.store.job(admission.job.job_id)  # with the config's text
        if job.breaks >= MAX_BREAKS:
            put_aside(
                leader,
                job,
                self._clock(),
                "it was admitted, but its workflow was never made",
                self._alerts,
            )
            return
        with put_aside_if_poison(leader, job, self._clock, self._alerts):
            self._admit(leader, job, admission)

    def _admit(self, leader: Leader, job: Job, admission: Admission) -> None:
        template = load_template(self._templates, job.spec.workflow)
        account = self._unix_ids.get(job.spec.user)
        workflow = render(
            template, job, node=admission.node, require_gpu=self._require_gpu, unix_ids=account
        )
        failpoint("scheduler.admit.before")
        if not self._take_slot(leader, job, admission):
            return
        failpoint("scheduler.admit.after")
        log.info(
            "Admitted.",
            job_id=job.job_id,
            node=admission.node,
            gpus=admission.gpu_uuids,
            attempt=job.attempt,
        )
        try:
            self._confirm_and_make(
                leader, job, workflow, Placement(admission.node, admission.gpu_uuids)
            )
        except StaleLeader:
            self._unanswered.add(job.job_id)
            raise

    def survived(self, store: Store) -> None:
        """Another one leads: whatever it made of the admissions that we left open, they did not break us."""
        while self._unanswered:
            Leader.survived(store, self._unanswered.pop())

    def _confirm_and_make(
        self, leader: Leader, job: Job, workflow: dict[str, Any], placement: Placement
    ) -> None:
        # The lead and the cancel intent, looked at once more right before the create.
        if leader.confirm(job.job_id):
            self._make(leader, job, workflow, placement)
        else:
            leader.requeue(
                job.job_id, self._clock(), Reason(ReasonCode.CANCELLED, "Cancelled by its user.")
            )

    def _take_slot(self, leader: Leader, job: Job, admission: Admission) -> bool:
        try:
            message = f"Starts on {admission.node}."
            start = Start(admission.node, admission.gpu_uuids, workflow_name(job), message)
            caps = SlotLimits(self._limits.max_running, self._limits.max_per_user)
            leader.admit(job, self._clock(), start, caps)
        except (InvalidTransition, NoFreeSlot):
            return False  # cancelled a moment ago, or the slot is gone: the next cycle decides anew
        return True

    def _make(
        self, leader: Leader, job: Job, workflow: dict[str, Any], placement: Placement
    ) -> None:
        try:
            uid = self._engine.create(workflow, job.spec.config_text, placement)
        except WorkflowExists:
            self._take_existing(leader, job)
        except WorkflowRejected as error:
            reason = Reason(ReasonCode.REJECTED, f"The engine refuses this workflow: {error}")
            leader.finish(job.job_id, self._clock(), Outcome(Phase.FAILED, reason))
            log.error("Rejected.", job_id=job.job_id, reason=reason.message)
        except (WorkflowNotMade, EngineForbidden) as error:
            self._give_back(leader, job, error)
        except (
            EngineUnavailable
        ) as error:  # it may exist: the slot is kept until the engine was asked by name
            log.warning(
                "No answer to the create; asking by name next.", job_id=job.job_id, error=str(error)
            )
            self._unanswered.add(job.job_id)
            self._alerts.once(str(error), "Mend the engine; the scheduler goes on by itself.")
        else:
            failpoint("scheduler.create.after")
            self._backoff.made(job.job_id)
            name = workflow["metadata"]["name"]
            made = Recorded(name, uid, placement.node, placement.gpu_uuids)
            leader.record_workflow(job.job_id, made)
            failpoint("scheduler.record.after")

    def _take_existing(self, leader: Leader, job: Job) -> None:
        """The name is taken: by this very job's workflow, or by something that is not ours."""
        name = workflow_name(job)
        present = self._engine.get(name)
        if (
            present is None and job.breaks < MAX_BREAKS - 1
        ):  # it was on its way out, and is gone: the next try makes it
            text = f"The name {name} was still taken when its workflow was to be made; it is next again."
            reason = Reason(ReasonCode.NAME_IN_USE, text)
            leader.requeue(job.job_id, self._clock(), reason, RequeueEffect(breaks=True))
        elif present is None or present.job_id != job.job_id:
            text = f"The name {name} is taken by an object that is not this job's; remove it, then retry the job."
            reason = Reason(ReasonCode.NAME_TAKEN, text)
            leader.finish(job.job_id, self._clock(), Outcome(Phase.FAILED, reason))
        else:
            record_workflow(leader, job, present)

    def _give_back(self, leader: Leader, job: Job, error: EngineError) -> None:
        """The founding document's failed create: HDEL running_jobs, an error in the log, next try in a later cycle."""
        self._leftovers.add(job)
        self._backoff.failed(job.job_id, error)
        reason = Reason(ReasonCode.CREATE_FAILED, str(error))
        leader.requeue(job.job_id, self._clock(), reason, RequeueEffect(nothing_made=True))
        log.error(
            "Its workflow was not made; the job is next again.", job_id=job.job_id, error=str(error)
        )
        remedy = (
            "Give the scheduler what it needs (rights, room on the disk); it tries again by itself."
        )
        self._alerts.once(str(error), remedy)
