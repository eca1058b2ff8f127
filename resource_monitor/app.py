"""The monitor's HTTP interface: it answers from the last samples and never waits for a driver."""

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
    """The part of a sampler that the application reads."""

    @property
    def samples(self) -> tuple[Sample, ...]: ...

    @property
    def problem(self) -> str | None: ...

    @property
    def errors(self) -> Mapping[str, int]: ...


class _Views:
    """The answers of the four paths; `clock` (s) must be the one that stamped the samples."""

    def __init__(self, sampler: Readings, settings: Settings, clock: Callable[[], float]) -> None:
        self._sampler = sampler
        self._settings = settings
        self._clock = clock
        self._scrape = metrics.exposition(self._snapshot, lambda: sampler.errors)

    def status(self) -> Response:
        window_s = _number(request.args.get("window_s", LONGEST_WINDOW_S))
        if not 0 < window_s <= LONGEST_WINDOW_S:
            rule = f"window_s must be a number of seconds above 0 and up to {LONGEST_WINDOW_S:g}."
            return _problem(HTTPStatus.BAD_REQUEST, rule)
        response = jsonify(self._snapshot(window_s).encode())
        response.cache_control.no_store = True
        return response

    def metrics(self) -> Response:
        return Response(self._scrape(), content_type=metrics.CONTENT_TYPE)

    def readyz(self) -> Response:
        for reason in self._snapshot().reasons:
            if reason.code in (NodeReasonCode.STARTING, NodeReasonCode.STALE):
                return _problem(HTTPStatus.SERVICE_UNAVAILABLE, reason.message)
        return jsonify(status="ready")

    def healthz(self) -> Response:
        return jsonify(status="ok")

    def _snapshot(self, window_s: float = LONGEST_WINDOW_S) -> NodeSnapshot:
        return decide(
            self._sampler.samples,
            self._settings.gate,
            node=self._settings.node_name,
            now=self._clock(),
            window_s=window_s,
            problem=self._sampler.problem,
        )


def build(
    sampler: Readings, settings: Settings, clock: Callable[[], float] = time.monotonic
) -> Flask:
    """Return the application; `clock` (s) must be the one that stamped the samples."""
    app = Flask("resource_monitor")
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(Exception, _unexpected_problem)
    views = _Views(sampler, settings, clock)
    for view in (views.status, views.metrics, views.readyz, views.healthz):
        app.add_url_rule(f"/{view.__name__}", view_func=view, methods=["GET"])
    return app


def _number(text: str | float) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _problem(status: HTTPStatus, detail: str) -> Response:
    """Return an error in the form of RFC 9457, with `error` added for people who use curl."""
    response = jsonify(
        type="about:blank",
        title=status.phrase,
        status=status.value,
        detail=detail,
        instance=request.path,
        error=detail,
    )
    response.status_code = status.value
    response.content_type = "application/problem+json"
    return response


def _http_problem(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.NOT_FOUND:
        paths = "/status, /metrics, /healthz and /readyz"
        return _problem(status, f"{request.path} does not exist; the paths are {paths}.")
    response = _problem(status, error.description or status.phrase)
    response.headers.extend((name, value) for name, value in error.get_headers() if name == "Allow")
    return response


def _unexpected_problem(error: Exception) -> Response:
    log.error("Request failed.", path=request.path, exc_info=error)
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The monitor had an unexpected error; its log has the details.",
    )
