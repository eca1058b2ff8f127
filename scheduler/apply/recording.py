"""This module records in a job's record which workflow is its own."""

from jobqueue.job import Job
from jobqueue.store.leader import Leader, Recorded
from scheduler.engines.contract import WorkflowStatus


def record_workflow(leader: Leader, job: Job, workflow: WorkflowStatus) -> None:
    """Record that the workflow belongs to this job, with its actual node and GPUs."""
    node = workflow.node or job.node or ""
    uuids = workflow.gpu_uuids or job.gpu_uuids
    leader.record_workflow(job.job_id, Recorded(workflow.name, workflow.uid, node, uuids))
