"""Answer every refusal and failure as RFC 9457 describes, plus `error` and `errors` for people."""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from jobqueue import errors
from jobqueue.service.log import get_logger
from queue_manager.http.nearest import did_you_mean

log = get_logger(__name__)

RETRY_SOON_S = 5
RETRY_LATER_S = 60
MOST_ERRORS = 10
_MOST_NAMED = 10
_LONGEST_SHOWN = 80
_TYPE = "application/problem+json"


@dataclass(frozen=True)
class FieldError:
    """A field that is refused: the rule that it breaks, and what to write instead."""

    field: str
    rule: str
    hint: str = ""

    @property
    def sentence(self) -> str:
        """The error as one sentence."""
        return f"{self.field}: {self.rule}" + (f" ({self.hint})" if self.hint else "")


class Problem(Exception):
    """An answer that reports an error; `detail` is one sentence for a person.

    `code` names the problem for programs, in the calls that have such codes.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        code: str = "",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.code = code


def bad_fields(found: Sequence[FieldError]) -> Problem:
    """Return a 400 about fields: the first one in the sentence, all of them in `errors`."""
    more = f" ({len(found) - 1} more to correct)" if len(found) > 1 else ""
    return Problem(HTTPStatus.BAD_REQUEST, found[0].sentence + more, found)


def bad_field(name: str, rule: str, hint: str = "") -> Problem:
    """Return a 400 about one field."""
    return bad_fields([FieldError(name, rule, hint)])


def unknown_name(name: str, known: Iterable[str], kind: str = "field") -> FieldError:
    """Return the error for a `name` that is not one of `known`; it suggests the nearest one."""
    names = sorted(known)
    known_ones = f"known are {some(names)}" if names else "none is known"
    return FieldError(short(name), f"unknown {kind}", did_you_mean(name, names) or known_ones)


def some(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def unknown_names(
    names: Iterable[str], known: Collection[str], kind: str = "field"
) -> list[FieldError]:
    """Return errors for the first few of `names` that are not `known`: there may be thousands."""
    unknown = islice((name for name in names if name not in known), MOST_ERRORS)
    return [unknown_name(name, known, kind) for name in unknown]


def short(value: object) -> str:
    """Return `value` as a text that is short enough for a sentence, whatever a client sent."""
    text = value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


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
    errors.QueueFull: (HTTPStatus.TOO_MANY_REQUESTS, RETRY_LATER_S),
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
