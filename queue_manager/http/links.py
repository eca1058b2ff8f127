"""Paths of the calls about a job; they include the path prefix of a proxy."""

from urllib.parse import quote

from flask import request


def job_path(job_id: str) -> str:
    """Return the path of GET /jobs/<id>."""
    return f"{request.script_root}/jobs/{quote(job_id, safe='')}"


def links(job_id: str) -> dict[str, str]:
    """Return the paths of the calls about a job, by name."""
    path = job_path(job_id)
    return {"job": path, "logs": f"{path}/logs", "metrics": f"{path}/metrics"}
