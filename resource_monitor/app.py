"""The monitor over HTTP: answers from what the sampler last read, and never waits for a driver."""

import math
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Protocol

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from jobqueue.resources import NodeReasonCode, NodeSnapshot
from jobqueue.service.log import get_logger
from resource_monitor import metrics
from resource_monitor.decision import LONGEST_WINDOW_S, decide
from resource_monitor.readings.reading import Sample
from resource_monitor.settings import Settings

log = get_logger(__name__)


class Readings(Protocol):
    """What the application needs of a sampler."""

    @property
    def samples(self) -> tuple[Sample, ...]: ...

    @property
    def trouble(self) -> str | None: ...

    @property
    def errors(self) -> Mapping[str, int]: ...


def build(
    sampler: Readings, settings: Settings, clock: Callable[[], float] = time.monotonic
) -> Flask:
    """The application; `clock` (s) must be the one that the samples were stamped with."""
    app = Flask("resource_monitor")
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected_problem)

    def snapshot(window_s: float = LONGEST_WINDOW_S) -> NodeSnapshot:
        return decide(
            sampler.samples,
            settings.thresholds,
            node=settings.node_name,
            now=clock(),
            require_gpu=settings.require_gpu,
            window_s=window_s,
            trouble=sampler.trouble,
        )

    @app.get("/status")
    def status() -> Response:
        window_s = _number(request.args.get("window_s", LONGEST_WINDOW_S))
        if not 0 < window_s <= LONGEST_WINDOW_S:
            rule = f"window_s must be a number of seconds above 0 and up to {LONGEST_WINDOW_S:g}."
            return _problem(HTTPStatus.BAD_REQUEST, rule)
        response = jsonify(snapshot(window_s).encode())
        response.cache_control.no_store = True
        return response

    scrape = metrics.exposition(snapshot, lambda: sampler.errors)

    @app.get("/metrics")
    def metrics_page() -> Response:
        return Response(scrape(), content_type=metrics.CONTENT_TYPE)

    @app.get("/readyz")
    def readyz() -> Response:
        for reason in snapshot().reasons:
            if reason.code in (NodeReasonCode.STARTING, NodeReasonCode.STALE):
                return _problem(HTTPStatus.SERVICE_UNAVAILABLE, reason.message)
        return jsonify(status="ready")

    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify(status="ok")

    return app


def _number(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _problem(status: HTTPStatus, detail: str) -> Response:
    """An error as RFC 9457 has it, with `error` for people with curl."""
    response = jsonify(
        type="about:blank",
        title=status.phrase,
        status=status.value,
        detail=detail,
        instance=request.path,
        error=detail,
    )
    response.status_code, response.content_type = status.value, "application/problem+json"
    return response


def _http_problem(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.NOT_FOUND:
        return _problem(
            status,
            f"There is no {request.path} here; there are /status, /metrics, /healthz and /readyz.",
        )
    response = _problem(status, error.description or status.phrase)
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def _unexpected_problem(error: Exception) -> Response:
    log.error("A request failed", path=request.path, exc_info=error)
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The monitor met an error of its own; its log has the details.",
    )
