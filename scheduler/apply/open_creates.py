"""This module remembers creates that got no answer, and those that made no workflow."""

from jobqueue.job import Job
from jobqueue.store.leader import Leader
from scheduler.apply.isolate_job import REFUSED_REMEDY
from scheduler.context import Context
from scheduler.engines.contract import WorkflowRefused
from workflows.render import workflow_name


class OpenCreates:
    """Two kinds of jobs: the engine did not answer their create, or it certainly made no workflow.

    What a create without a workflow left in the engine is used by the next create of the job. It is
    removed only when the job has ended: as long as it is queued, its workflow may still appear.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._unanswered: set[str] = set()
        self._without_workflow: dict[str, str] = {}  # job id -> the name its workflow was to have

    # -- creates without an answer ---------------------------------------------------------------

    def got_no_answer(self, job_id: str) -> None:
        """Remember that the create of this job's attempt got no answer."""
        self._unanswered.add(job_id)

    def is_unanswered(self, job_id: str) -> bool:
        """Return whether the create of this job's attempt got no answer."""
        return job_id in self._unanswered

    def settled(self, job_id: str) -> None:
        """Forget an unanswered create: the engine has been asked for its workflow since."""
        self._unanswered.discard(job_id)

    def survived(self) -> None:
        """Take back the breaks that the next leader counts for creates that this process left open.

        Another scheduler leads now; it cannot know that this one has not crashed.
        """
        while self._unanswered:
            Leader.survived(self._context.store, self._unanswered.pop())

    # -- creates without a workflow --------------------------------------------------------------

    def made_no_workflow(self, job: Job) -> None:
        """Remember that this job left its slot without a workflow."""
        self._without_workflow[job.job_id] = workflow_name(job)

    def clear(self) -> None:
        """Remove what belongs to jobs that have ended; forget those that have a workflow now."""
        if not self._without_workflow:
            return
        jobs = self._context.store.jobs(list(self._without_workflow))
        self._without_workflow = {
            job.job_id: self._without_workflow[job.job_id] for job in jobs if not self._is_done(job)
        }

    def _is_done(self, job: Job) -> bool:
        if not job.phase.is_finished:
            return job.workflow_uid is not None
        name = self._without_workflow[job.job_id]
        try:
            self._context.engines.of_job(job).clear(name, job.job_id)
        except WorkflowRefused as error:
            self._context.alerts.once(f"{job.job_id}: {error}", REFUSED_REMEDY)
            return False
        return True
