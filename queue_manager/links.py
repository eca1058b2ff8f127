"""Where to go on from a job: paths, behind a prefix too."""

from flask import url_for


def job_path(job_id: str) -> str:
    return url_for("jobs.show", job_id=job_id)


def links(job_id: str) -> dict[str, str]:
    """The calls about a job."""
    path = job_path(job_id)
    return {"job": path, "logs": f"{path}/logs", "metrics": f"{path}/metrics"}
