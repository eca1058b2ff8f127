"""GET /queue: what waits, in order, and what runs."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, url_for

from jobqueue.phase import Phase
from jobqueue.store.client import Store
from queue_manager.http import query
from queue_manager.http.etag import conditional
from queue_manager.requests.services import services
from queue_manager.views.job_view import read_board

blueprint = Blueprint("queue", __name__)


@blueprint.get("/queue")
def queue() -> Response:
    """A page of the queue in dispatch order with the queue's length, and all that runs."""
    query.take("limit", "cursor")
    app, limit = services(), query.limit()
    start = _start(query.cursor(_read_cursor), app.store)
    ids = app.store.order(start, limit)
    positions = {job_id: start + number for number, job_id in enumerate(ids, 1)}
    board = read_board(app, positions)
    queued = [job for job in app.store.jobs(ids) if job.phase is Phase.QUEUED]
    return conditional(
        {
            "length": app.store.queue_length(),
            "jobs": [board.brief(job) for job in queued],
            "running": [board.brief(job) for job in app.store.running()],
            "next": _next(ids, start, limit),
        }
    )


def _start(cursor: tuple[int, str] | None, store: Store) -> int:
    """Behind the page's last job where that is queued still, so that a queue that moves on skips nobody."""
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
    return url_for(
        "queue.queue", limit=limit, cursor=query.write_cursor(f"{start + len(ids)}:{ids[-1]}")
    )
