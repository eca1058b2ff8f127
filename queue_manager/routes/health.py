"""GET /healthz, /readyz and /version."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from jobqueue.errors import StoreUnavailable
from jobqueue.service.health import HealthProblem, HealthWarning, ProblemCode
from jobqueue.store.client import Store
from queue_manager.forecast.scheduler_health import read_heartbeat, scheduler_problem
from queue_manager.http.problems import RETRY_SOON_S, Problem
from queue_manager.http.query import take
from queue_manager.openapi.version import version
from queue_manager.requests.services import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Answer without asking Redis or anybody else."""
    take()
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Report whether Redis and the scheduler work, so that a new job is kept and started."""
    take()
    app = services()
    found = _problem_or_warnings(app.store, app.clock())
    if isinstance(found, HealthProblem):
        raise _not_ready(found)
    warnings = [warning.message for warning in found]
    coded = [warning.to_dict() for warning in found]
    return jsonify(status="ready", warnings=warnings, coded_warnings=coded)


@blueprint.get("/version")
def show_version() -> Response:
    """Return the name and version of this program."""
    take()
    return jsonify({"name": "gpuq", "version": version()})


def _not_ready(found: HealthProblem) -> Problem:
    status, headers = HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(RETRY_SOON_S)}
    return Problem(status, found.message, headers=headers, code=found.code)


def _problem_or_warnings(store: Store, now: float) -> HealthProblem | list[HealthWarning]:
    try:
        problem = store.problem() or scheduler_problem(read_heartbeat(store), now)
        return problem or store.warnings()
    except StoreUnavailable as error:
        return HealthProblem(ProblemCode.REDIS_UNAVAILABLE, str(error))
