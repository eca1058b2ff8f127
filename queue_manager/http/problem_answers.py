"""Answer every error as RFC 9457 describes, with `error` and `errors` for people with curl."""

import json
import uuid
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from jobqueue import errors
from jobqueue.service.log import get_logger
from queue_manager.http.nearest import did_you_mean
from queue_manager.http.problems import MOST_ERRORS, RETRY_SOON_S, Problem, short

log = get_logger(__name__)

_RETRY_LATER_S = 60
_TYPE = "application/problem+json"


def register(app: Flask) -> None:
    """Make every error of `app` a problem response."""
    app.register_error_handler(Problem, lambda problem: _response(problem))
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(errors.GpuqError, _of_gpuq)
    app.register_error_handler(Exception, _of_unexpected)


def refuse_broken_body(_error: Exception) -> Response:
    """Answer a request whose body contradicts its Transfer-Encoding, found while reading it."""
    detail = "The body ends too early or is not valid chunked encoding."
    return _response(Problem(HTTPStatus.BAD_REQUEST, detail))


def raw_answer(status: HTTPStatus, detail: str) -> bytes:
    """Return a complete HTTP answer for bytes that are not a valid request, and log it."""
    request_id = uuid.uuid4().hex
    log.info("Invalid request refused.", status=status.value, detail=detail, request_id=request_id)
    body = _text(Problem(status, detail), "", request_id)
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: {_TYPE}"
    head += f"\r\nX-Request-Id: {request_id}"
    return f"{head}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def _response(problem: Problem) -> Response:
    text = _text(problem, request.path, g.get("request_id", ""))
    return Response(text, problem.status, dict(problem.headers), content_type=_TYPE)


def _text(problem: Problem, instance: str, request_id: str) -> str:
    status = HTTPStatus(problem.status)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": problem.detail,
        "instance": instance,
        "error": problem.detail,
        "errors": [asdict(error) for error in problem.errors[:MOST_ERRORS]],
        "request_id": request_id,
    }
    if problem.code:
        body["code"] = problem.code
    return json.dumps(body) + "\n"


#: What the store may raise -> status, seconds until another try makes sense.
_STATUS: dict[type[errors.GpuqError], tuple[HTTPStatus, int | None]] = {
    errors.StoreUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, RETRY_SOON_S),
    errors.JobNotFound: (HTTPStatus.NOT_FOUND, None),
    errors.InvalidTransition: (HTTPStatus.CONFLICT, None),
    errors.QueueFull: (HTTPStatus.TOO_MANY_REQUESTS, _RETRY_LATER_S),
    errors.IdempotencyConflict: (HTTPStatus.CONFLICT, None),
}


def _of_gpuq(error: errors.GpuqError) -> Response:
    status, retry_s = _STATUS.get(type(error), (HTTPStatus.INTERNAL_SERVER_ERROR, None))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("Request failed.", path=request.path, error=str(error))
    headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
    return _response(Problem(status, str(error), headers=headers))


def _of_http(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    describe = _DESCRIBED.get(status)
    detail = describe(error) if describe else error.description or status.phrase
    headers = {
        name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")
    }
    return _response(Problem(status, detail, headers=headers))


def _not_found(_error: HTTPException) -> str:
    known = sorted({rule.rule for rule in current_app.url_map.iter_rules()})
    hint = did_you_mean(request.path, known) or f"there are {', '.join(known)}."
    return f"There is no {short(request.path)} here; {hint}"


def _wrong_method(error: HTTPException) -> str:
    valid = {*(getattr(error, "valid_methods", None) or ())} - {"HEAD", "OPTIONS"}
    return f"{short(request.path)} takes {', '.join(sorted(valid))}, not {request.method}."


def _too_large(_error: HTTPException) -> str:
    return f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH'] // 1024} KiB."


_DESCRIBED = {
    HTTPStatus.NOT_FOUND: _not_found,
    HTTPStatus.METHOD_NOT_ALLOWED: _wrong_method,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _too_large,
}


def _of_unexpected(error: Exception) -> Response:
    log.error(
        "Request failed with an internal error.",
        path=request.path,
        method=request.method,
        exc_info=error,
    )
    detail = (
        "Internal error of the queue manager; "
        f"its log has the details under request id {g.get('request_id', '')}."
    )
    return _response(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
