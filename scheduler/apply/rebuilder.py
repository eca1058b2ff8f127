"""Restore jobs that Redis has lost, from the data in their workflows."""

from jobqueue.errors import CorruptEntry
from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.service.log import get_logger
from jobqueue.store.leader import Leader
from scheduler.apply.isolate_job import REFUSED_REMEDY
from scheduler.context import Context
from scheduler.decide.restore import Restored, restored
from scheduler.engines.contract import WorkflowRefused, WorkflowStatus
from workflows.render import workflow_name

log = get_logger(__name__)


class Rebuilder:
    """The rebuilder writes the records of lost jobs; it tries each workflow only once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._hopeless: set[str] = set()  # uids of those that cannot be restored

    def run(self, leader: Leader, unknown: list[WorkflowStatus]) -> list[str]:
        """Restore the jobs of these workflows, which have no record; return the job ids."""
        jobs = [job for each in self._candidates(unknown) if (job := self._restore(leader, each))]
        if jobs:
            self._report(jobs)
        return [job.job_id for job in jobs]

    def _candidates(self, unknown: list[WorkflowStatus]) -> list[WorkflowStatus]:
        """Return the newest attempt of each job that may be restored.

        Finished workflows that the history has no room for are left out: it was trimmed then.
        """
        by_attempt = sorted(unknown, key=lambda each: each.attempt)
        newest = {each.job_id: each for each in by_attempt if each.job_id}
        fresh = [each for each in newest.values() if each.uid not in self._hopeless]
        live = [each for each in fresh if each.is_live]
        ended = [each for each in fresh if not each.is_live]
        return live + (self._within_history(ended) if ended else [])

    def _within_history(self, ended: list[WorkflowStatus]) -> list[WorkflowStatus]:
        context = self._context
        room = max(0, context.settings.history_jobs - context.store.finished_length())
        oldest = context.now() - context.settings.history_s
        newest_first = sorted(ended, key=_end, reverse=True)
        return [each for each in newest_first[:room] if _end(each) > oldest]

    def _restore(self, leader: Leader, workflow: WorkflowStatus) -> Job | None:
        self._context.keep_alive()
        try:
            text = self._context.engines.of(workflow).config_text(workflow)
        except WorkflowRefused as error:
            self._context.alerts.once(f"{workflow.name}: {error}", REFUSED_REMEDY)
            return None
        now = self._context.now()
        found = read(workflow, text, now)
        if found is None or not leader.restore(found.job, now, found.run_time_s):
            self._hopeless.add(workflow.uid)
            return None
        failpoint("rebuild.restored")
        job = found.job
        log.warning("Job restored.", job_id=job.job_id, status=job.phase, node=job.node)
        return job

    def _report(self, jobs: list[Job]) -> None:
        live = [job.job_id for job in jobs if job.phase.holds_slot]
        without = sum(not job.spec.config_text for job in jobs)
        some = f" ({_few(live)})" if live else ""
        ended = f"{len(jobs) - len(live)} that have ended"
        lacking = f" The config of {without} is gone: submit these again instead of retrying them."
        self._context.alerts.send(
            f"Redis had lost jobs; {len(live)} that run{some} and {ended} were restored from their "
            f"workflows.{lacking if without else ''}",
            "No workflow holds the queued jobs: restore the last gpuq admin backup with gpuq admin "
            "restore FILE.",
        )


def read(workflow: WorkflowStatus, config_text: str | None, now: float) -> Restored | None:
    """Return the record of a lost job; None if the workflow carries no submission of its own."""
    try:
        found = restored(workflow, config_text or "", now)
    except (CorruptEntry, KeyError, TypeError, ValueError):
        return None
    is_its_own = found.job.job_id == workflow.job_id
    return found if is_its_own and workflow_name(found.job) == workflow.name else None


def _end(workflow: WorkflowStatus) -> float:
    return workflow.finished_at or workflow.started_at or 0


def _few(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
