"""GET /queue: the running jobs, and the queued ones in order."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, url_for

from jobqueue.phase import Phase
from jobqueue.store.client import Store
from queue_manager.http import query
from queue_manager.http.etag import conditional
from queue_manager.requests.services import services
from queue_manager.views.job_view import read_job_view

blueprint = Blueprint("queue", __name__)


@blueprint.get("/queue")
def queue() -> Response:
    """Return a page of the queue in dispatch order, its whole length, and all running jobs."""
    query.take("limit", "cursor")
    app, limit = services(), query.limit()
    start = _start(query.cursor(_read_cursor), app.store)
    ids = app.store.order(start, limit)
    positions = {job_id: start + number for number, job_id in enumerate(ids, 1)}
    view = read_job_view(app, positions)
    queued = [job for job in app.store.jobs(ids) if job.phase is Phase.QUEUED]
    return conditional(
        {
            "length": app.store.queue_length(),
            "jobs": [view.brief(job) for job in queued],
            "running": [view.brief(job) for job in app.store.running()],
            "next": _next(ids, start, limit),
        }
    )


def _start(cursor: tuple[int, str] | None, store: Store) -> int:
    """Return the position after the previous page's last job, wherever that job is queued now.

    So a queue that moves between two pages skips no job.
    """
    if cursor is None:
        return 0
    position, job_id = cursor
    return store.position(job_id) or position


def _read_cursor(text: str) -> tuple[int, str]:
    position, _, job_id = text.partition(":")
    if not job_id or not 0 <= int(position) <= 2**53:
        raise ValueError(text)
    return int(position), job_id


def _next(ids: Sequence[str], start: int, limit: int) -> Any:
    if len(ids) < limit:
        return None
    cursor = query.write_cursor(f"{start + len(ids)}:{ids[-1]}")
    return url_for("queue.queue", limit=limit, cursor=cursor)
