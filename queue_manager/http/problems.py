"""Every refusal and every failure as RFC 9457 has it, plus `error` (= detail) and `errors` for people with curl."""

import difflib
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

log = get_logger(__name__)

RETRY_SOON_S = 5
RETRY_LATER_S = 60
MOST_ERRORS = 10
_MOST_NAMED = 10
_LONGEST_SHOWN = 80
_TYPE = "application/problem+json"


@dataclass(frozen=True)
class FieldError:
    """One field that is refused: the rule it breaks, and what to write instead."""

    field: str
    rule: str
    hint: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.field}: {self.rule}" + (f" ({self.hint})" if self.hint else "")


class Problem(Exception):
    """An answer that is not what was asked for; `detail` is one sentence for a person."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors, headers or {}


def bad_fields(found: Sequence[FieldError]) -> Problem:
    """400 about fields: the first one in the sentence, the others beside."""
    more = f" ({len(found) - 1} more to correct)" if len(found) > 1 else ""
    return Problem(HTTPStatus.BAD_REQUEST, found[0].sentence + more, found)


def bad_field(name: str, rule: str, hint: str = "") -> Problem:
    return bad_fields([FieldError(name, rule, hint)])


def unknown_name(name: str, known: Iterable[str], kind: str = "field") -> FieldError:
    """`name` is not one of `known`: names the nearest. A name may be as long as a request: only its head counts."""
    head, names = short(name), sorted(known)
    near = difflib.get_close_matches(head, names, n=1)
    known_ones = f"known are {some(names)}" if names else "there are none"
    return FieldError(head, f"unknown {kind}", f"did you mean {near[0]}?" if near else known_ones)


def some(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def unknown_names(
    names: Iterable[str], known: Collection[str], kind: str = "field"
) -> list[FieldError]:
    """Those of `names` that are not `known`, the first few: a body may have tens of thousands."""
    unknown = islice((name for name in names if name not in known), MOST_ERRORS)
    return [unknown_name(name, known, kind) for name in unknown]


def short(value: object) -> str:
    """`value` as it may stand in a sentence: what a stranger sent can be long."""
    text = value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def register(app: Flask) -> None:
    """Make every error of `app` a problem response."""
    app.register_error_handler(Problem, lambda problem: _response(problem))
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(errors.GpuqError, _of_gpuq)
    app.register_error_handler(Exception, _of_unexpected)


def refuse_broken_body(_error: Exception) -> Response:
    """A body that is not what its Transfer-Encoding says, found when it is read."""
    return _response(
        Problem(HTTPStatus.BAD_REQUEST, "The body breaks off, or is not chunked as it says.")
    )


def raw_answer(status: HTTPStatus, detail: str) -> bytes:
    """A whole HTTP answer with a problem, for what never became a request; it is logged under the answer's id."""
    request_id = uuid.uuid4().hex
    log.info("What came is no request.", status=status.value, detail=detail, request_id=request_id)
    body = _text(status, detail, "", (), request_id)
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: {_TYPE}"
    head += f"\r\nX-Request-Id: {request_id}"
    return f"{head}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()


def _response(problem: Problem) -> Response:
    status = HTTPStatus(problem.status)
    text = _text(status, problem.detail, request.path, problem.errors, g.get("request_id", ""))
    return Response(text, status, dict(problem.headers), content_type=_TYPE)


def _text(
    status: HTTPStatus, detail: str, instance: str, found: Sequence[FieldError], request_id: str
) -> str:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": instance,
        "error": detail,
        "errors": [asdict(error) for error in found[:MOST_ERRORS]],
        "request_id": request_id,
    }
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
        log.error("A request failed.", path=request.path, error=str(error))
    headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
    return _response(Problem(status, str(error), headers=headers))


def _of_http(error: HTTPException) -> Response:
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    detail = error.description or HTTPStatus(status).phrase
    if status == HTTPStatus.NOT_FOUND:
        detail = f"There is no {short(request.path)} here; {_nearest_path()}"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(
            sorted({*(getattr(error, "valid_methods", None) or ())} - {"HEAD", "OPTIONS"})
        )
        detail = f"{short(request.path)} takes {allowed}, not {request.method}."
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH'] // 1024} KiB."
    headers = {
        name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")
    }
    return _response(Problem(status, detail, headers=headers))


def _nearest_path() -> str:
    known = sorted({rule.rule for rule in current_app.url_map.iter_rules()})
    near = difflib.get_close_matches(short(request.path), known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."


def _of_unexpected(error: Exception) -> Response:
    log.error(
        "A request met an error of ours.", path=request.path, method=request.method, exc_info=error
    )
    detail = f"The queue manager met an error of its own; its log has the details under {g.get('request_id', '')}."
    return _response(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail))
