"""GET /status/<user>: the state of a user's jobs."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from jobqueue.job import Job
from jobqueue.store.client import Store
from jobqueue.user import USER_PATTERN, USER_RULE
from queue_manager.http.problems import bad_field
from queue_manager.http.query import take
from queue_manager.requests.long_poll import answer_when_changed
from queue_manager.requests.services import Services, services
from queue_manager.views.job_view import read_job_view

blueprint = Blueprint("status", __name__)

_MOST_QUEUED = 100
_MOST_FINISHED = 5

_IDLE = dict.fromkeys(
    (
        "job_id",
        "config",
        "reason",
        "position",
        "estimated_wait",
        "estimated_wait_s",
        "estimated_start_at",
        "submitted_at",
        "started_at",
        "estimated_end_at",
        "finished_at",
    )
)


@blueprint.get("/status/<user>")
def status(user: str) -> Response:
    """Return the user's most relevant job at the top, and a list of their jobs.

    The list has the running jobs, then the queued ones, then the last finished ones.
    """
    take("wait")
    if not USER_PATTERN.fullmatch(user):
        raise bad_field("user", USER_RULE)
    app = services()
    return answer_when_changed(lambda: _answer(user, app), app)


def _answer(user: str, app: Services) -> dict[str, Any]:
    jobs = _jobs_of(user, app.store)
    unfinished = [job.job_id for job in jobs if not job.phase.is_finished]
    positions = app.store.positions(unfinished) if jobs else {}
    view = read_job_view(app, positions)
    shown: list[dict[str, Any]] = [view.brief(job) for job in jobs]
    top = shown[0] if shown else {"user": user, "status": "idle", **_IDLE}
    return {**top, "jobs": shown}


def _jobs_of(user: str, store: Store) -> list[Job]:
    running = [job.job_id for job in store.running() if job.spec.user == user]
    active = [*running, *store.user_queue(user, _MOST_QUEUED)]
    newest = store.user_jobs(user, 0, len(active) + _MOST_FINISHED)
    jobs = store.jobs(dict.fromkeys([*active, *newest]))
    return _most_relevant_first(jobs)


def _most_relevant_first(jobs: Sequence[Job]) -> list[Job]:
    """Sort into running, queued in dispatch order, and the last finished with the latest first."""
    running = [job for job in jobs if job.phase.holds_slot]
    queued = [job for job in jobs if not job.phase.holds_slot and not job.phase.is_finished]
    finished = sorted(
        (job for job in jobs if job.phase.is_finished), key=lambda job: -(job.finished_at or 0)
    )
    return running + queued + finished[:_MOST_FINISHED]
