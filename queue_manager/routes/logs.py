"""GET /jobs/<id>/logs and /jobs/<id>/metrics: what a training has written, and still writes."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from flask import Blueprint, Response, request

from jobqueue.errors import StoreUnavailable
from jobqueue.job import Job
from queue_manager.files.run_folder import LOG, METRICS, open_run_file
from queue_manager.files.tail import (
    PAUSE_S,
    chunks,
    follow,
    has_disconnected,
    tail_start,
    whole_end,
    whole_lines,
)
from queue_manager.http import query
from queue_manager.http.problems import Problem
from queue_manager.requests import access
from queue_manager.requests.services import Services, services

blueprint = Blueprint("logs", __name__, url_prefix="/jobs/<job_id>")

_TEXT = "text/plain; charset=utf-8"
_JSON_LINES = "application/x-ndjson"
_MAX_TAIL = 100_000
_MAX_BYTES = 10**15
#: A follower checks the job's phase once in this many pauses, which is once a second.
_PAUSES_PER_CHECK = 4


@blueprint.get("/logs")
def logs(job_id: str) -> Response:
    """Return the training's log; `tail`: its last lines only; `follow`: until the job has ended."""
    query.take("tail", "follow")
    tail, is_followed = query.number("tail", None, 0, _MAX_TAIL), query.flag("follow")
    app = services()
    job = app.store.job(job_id)
    file = open_run_file(job, LOG, app.settings.data_root)
    if file is None and job.phase.is_finished:  # the run folder no longer exists
        return _kept_lines(job, tail)
    start = tail_start(file, tail) if file is not None and tail is not None else 0
    if is_followed:
        _close(file)
        return _followed(job, LOG, start, app)
    return _whole(file, start, None, _TEXT)


@blueprint.get("/metrics")
def metrics(job_id: str) -> Response:
    """Return whole JSON lines from the byte `since` on: the previous answer's X-Next-Since."""
    query.take("since", "follow")
    since, is_followed = query.number("since", 0, 0, _MAX_BYTES) or 0, query.flag("follow")
    app = services()
    job = app.store.job(job_id)
    if is_followed:
        return _followed(job, METRICS, since, app)
    file = open_run_file(job, METRICS, app.settings.data_root)
    end = 0 if file is None else whole_end(file)
    response = _whole(file, min(since, end), end, _JSON_LINES)
    response.headers["X-Next-Since"] = str(end)
    return response


def _kept_lines(job: Job, tail: int | None) -> Response:
    """Return the last lines of the log, which the record keeps."""
    kept = job.result.log_tail
    lines = kept if tail is None else kept[max(0, len(kept) - tail) :]
    return Response("".join(f"{line}\n" for line in lines), content_type=_TEXT)


def _whole(file: BinaryIO | None, start: int, end: int | None, content_type: str) -> Response:
    if file is None:
        return Response(b"", content_type=content_type)
    file.seek(start)
    response = Response(chunks(file, end), content_type=content_type)
    response.call_on_close(file.close)
    return response


def _followed(job: Job, name: str, start: int, app: Services) -> Response:
    app.followers.acquire_or_refuse()
    open_file = partial(open_run_file, job, name, app.settings.data_root)
    pieces = follow(open_file, start, _is_over(job.job_id, app), partial(time.sleep, PAUSE_S))
    content_type = _TEXT
    if name == METRICS:
        pieces, content_type = whole_lines(pieces), _JSON_LINES
    response = Response(_until_refused(pieces), content_type=content_type)
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(app.followers.release)
    return response


def _is_over(job_id: str, app: Services) -> Callable[[], bool]:
    """Return a check that ends following.

    Following ends when the client has disconnected, the job has ended, or the token is no longer
    valid; the latter two are checked once a second.
    """
    environ, pauses, is_valid = request.environ, 0, access.still_valid(app)

    def is_over() -> bool:
        nonlocal pauses
        pauses += 1
        if has_disconnected(environ):
            return True
        return pauses % _PAUSES_PER_CHECK == 1 and (not is_valid() or _has_ended(job_id, app))

    return is_over


def _has_ended(job_id: str, app: Services) -> bool:
    try:
        jobs = app.store.jobs([job_id])
    except StoreUnavailable:  # an outage of Redis does not stop the training or its log
        return False
    return not jobs or jobs[0].phase.is_finished


def _until_refused(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """End the answer with a line if the file must not or cannot be read: the headers are sent."""
    try:
        yield from pieces
    except Problem as problem:
        yield f"[{problem.detail}]\n".encode()


def _close(file: BinaryIO | None) -> None:
    if file is not None:
        file.close()
