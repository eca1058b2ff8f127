"""Where to go on from a job: paths, behind a prefix too."""

from urllib.parse import quote

from flask import request


def job_path(job_id: str) -> str:
    return f"{request.script_root}/jobs/{quote(job_id, safe='')}"


def links(job_id: str) -> dict[str, str]:
    """The calls about a job."""
    path = job_path(job_id)
    return {"job": path, "logs": f"{path}/logs", "metrics": f"{path}/metrics"}
