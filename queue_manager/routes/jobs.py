"""GET /jobs and /jobs/<id>, DELETE /jobs/<id>, POST /jobs/<id>/retry."""

from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request, url_for

from jobqueue.failpoints import failpoint
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.service.log import get_logger
from jobqueue.user import USER_PATTERN, USER_RULE
from queue_manager.files.run_folder import result_paths
from queue_manager.http import query
from queue_manager.http.etag import conditional
from queue_manager.http.links import job_path, links
from queue_manager.http.problems import bad_field
from queue_manager.requests import access
from queue_manager.requests.long_poll import answer_when_changed
from queue_manager.requests.services import Services, services
from queue_manager.views.job_pages import PageStart, read_page, sections
from queue_manager.views.job_view import read_job_view

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")
log = get_logger(__name__)


@blueprint.get("")
def index() -> Response:
    """Return a page of records: one user's, newest first; or all: running, queued, finished."""
    query.take("user", "status", "since", "limit", "cursor")
    app, limit = services(), query.limit()
    user, status, since = access.user_filter(_user()), _status(), query.time("since")

    def wanted(job: Job) -> bool:
        return (status is None or job.phase is status) and (
            since is None or job.submitted_at >= since
        )

    start = query.cursor(PageStart.read) or PageStart()
    jobs, end = read_page(app.store, sections(app.store, user, status), wanted, start, limit)
    positions = app.store.positions([job.job_id for job in jobs if job.phase is Phase.QUEUED])
    view = read_job_view(app, positions)
    return conditional({"jobs": [view.record(job) for job in jobs], "next": _next(end)})


@blueprint.get("/<job_id>")
def show(job_id: str) -> Response:
    """Return the record, its timeline, the log's last lines, and the result files at success."""
    query.take("wait")
    app = services()
    return answer_when_changed(lambda: _record(job_id, app), app)


def _record(job_id: str, app: Services) -> dict[str, Any]:
    job = app.store.job(job_id)
    view = read_job_view(app, app.store.positions([job_id]))
    succeeded = job.phase is Phase.SUCCEEDED
    return {
        **view.record(job),
        "result": result_paths(job, app.settings.data_root) if succeeded else None,
        "log_tail": list(job.result.log_tail),
        "timeline": app.store.timeline(job_id),
        "links": links(job_id),
    }


@blueprint.delete("/<job_id>")
def cancel(job_id: str) -> Response:
    """Cancel a queued job at once; ask an admitted or running one to stop.

    The `status` of the latter stays the same until the scheduler has stopped the job.
    """
    query.take()
    app = services()
    failpoint("queue_manager.cancel.before")
    phase = app.store.cancel(job_id, app.clock())
    failpoint("queue_manager.cancel.after")
    log.info("Cancel requested.", job_id=job_id, status=phase)
    return jsonify(
        {"status": phase, "job_id": job_id, "cancelling": phase.holds_slot, "links": links(job_id)}
    )


@blueprint.post("/<job_id>/retry")
def retry(job_id: str) -> tuple[Response, int, dict[str, str]]:
    """Queue a failed or cancelled job again, at the back; it resumes from its checkpoint."""
    query.take()
    app = services()
    failpoint("queue_manager.retry.before")
    position = app.store.retry(job_id, app.clock(), app.settings.caps)
    failpoint("queue_manager.retry.after")
    log.info("Job queued again.", job_id=job_id)
    answer = jsonify(status=Phase.QUEUED, job_id=job_id, position=position, links=links(job_id))
    return answer, HTTPStatus.ACCEPTED, {"Location": job_path(job_id)}


def _user() -> str | None:
    user = request.args.get("user")
    if user is not None and not USER_PATTERN.fullmatch(user):
        raise bad_field("user", USER_RULE)
    return user


def _status() -> Phase | None:
    text = request.args.get("status")
    try:
        return None if text is None else Phase(text)
    except ValueError:
        raise bad_field("status", f"must be one of {', '.join(Phase)}") from None


def _next(end: PageStart | None) -> str | None:
    if end is None:
        return None
    args: dict[str, Any] = {**request.args.to_dict(), "cursor": query.write_cursor(str(end))}
    return url_for("jobs.index", **args)
