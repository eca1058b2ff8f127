"""GET /healthz, /readyz and /version."""

from http import HTTPStatus

from flask import Blueprint, Response, jsonify

from jobqueue.errors import StoreUnavailable
from jobqueue.store.client import Store
from queue_manager.forecast.scheduler_health import read_heartbeat, scheduler_trouble
from queue_manager.http.problems import RETRY_SOON_S, Problem
from queue_manager.http.query import take
from queue_manager.openapi.version import version
from queue_manager.requests.services import services

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Whether this process answers; it asks nobody else."""
    take()
    return jsonify({"status": "ok"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Whether a job that is submitted now is kept and started: Redis, and the scheduler's heartbeat."""
    take()
    app = services()
    trouble = _trouble(app.store, app.clock())
    if trouble is not None:
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE, trouble, headers={"Retry-After": str(RETRY_SOON_S)}
        )
    return jsonify({"status": "ready", "warnings": app.store.warnings()})


@blueprint.get("/version")
def show_version() -> Response:
    take()
    return jsonify({"name": "gpuq", "version": version()})


def _trouble(store: Store, now: float) -> str | None:
    try:
        if (redis_trouble := store.trouble()) is not None:
            return redis_trouble
        reason = scheduler_trouble(read_heartbeat(store), now)
    except StoreUnavailable as error:
        return str(error)
    return None if reason is None else reason.message
