"""/openapi.json: every call of the API in one table. A test compares it with the routes, and real answers with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from queue_manager.http import query
from queue_manager.openapi import schemas
from queue_manager.openapi.schemas import COUNT, PHASE, TEXT, TIME, USER, Schema, ref
from queue_manager.requests.long_poll import MAX_WAIT_S

Content = dict[str, Any]

#: Whoever asks for these need not say who she is: they hold nothing of anybody. The tag -> the problems they may have
#: all the same (403: a foreign Host).
OPEN_TAGS = {"health": (403,), "docs": (400, 403)}


@dataclass(frozen=True)
class Call:
    """One method of one path: `answers` by status; `problems` beside those that every guarded call may have."""

    tag: str
    summary: str
    answers: Mapping[int, Content]
    parameters: tuple[Schema, ...] = ()
    problems: tuple[int, ...] = ()
    body: str | None = None
    headers: Mapping[str, Schema] = field(
        default_factory=dict
    )  #: of an answer that is not a problem


def _json(name: str) -> Content:
    return {"application/json": {"schema": ref(name)}}


def _text(content_type: str) -> Content:
    return {content_type: {"schema": TEXT}}


def _parameter(name: str, schema: Schema, text: str = "", place: str = "query") -> Schema:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": text,
    }


_JOB_ID = _parameter("job_id", TEXT, place="path")
_USER = _parameter("user", USER, place="path")
_FLAG: Schema = {"type": "string", "enum": ["1", "0", "true", "false", ""]}
_FOLLOW = _parameter("follow", _FLAG, "on and on until the job has ended")
_LIMIT = _parameter(
    "limit", {"type": "integer", "minimum": 1, "maximum": query.MAX_LIMIT, "default": 100}
)
_CURSOR = _parameter("cursor", TEXT, "from `next` of the page before")
_WAIT = _parameter(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S},
    "seconds to hold the answer back while it is what If-None-Match names (without: what it is now)",
)
_KNOWN = _parameter(
    "If-None-Match",
    TEXT,
    "an ETag of before: 304 while nothing but estimates has changed",
    "header",
)
_KEY = _parameter(
    "Idempotency-Key", TEXT, "the same key and body give the same job for 7 days", "header"
)
_ETAG = {"ETag": TEXT}
_LOCATION = {"Location": TEXT}
_NOT_CHANGED: Content = {}

CALLS: dict[tuple[str, str], Call] = {
    ("POST", "/submit"): Call(
        "jobs", "Queue a training", {200: _json("DryRun"), 202: _json("Queued")}, (_KEY,), (409, 413, 415, 429),
        body="Submission",
    ),
    ("GET", "/status/{user}"): Call(
        "queue", "Where a user's jobs stand, the most relevant one at the top",
        {200: _json("Status"), 304: _NOT_CHANGED}, (_USER, _WAIT, _KNOWN), headers=_ETAG,
    ),
    ("GET", "/queue"): Call(
        "queue", "What waits, in order, and what runs", {200: _json("Queue"), 304: _NOT_CHANGED},
        (_LIMIT, _CURSOR, _KNOWN), headers=_ETAG,
    ),
    ("GET", "/jobs"): Call(
        "jobs", "Records: a user's, the newest first; or all: running, queued, finished",
        {200: _json("Jobs"), 304: _NOT_CHANGED},
        (_parameter("user", USER), _parameter("status", PHASE), _parameter("since", TIME), _LIMIT, _CURSOR, _KNOWN),
        headers=_ETAG,
    ),
    ("GET", "/jobs/{job_id}"): Call(
        "jobs", "A record with its timeline", {200: _json("Job"), 304: _NOT_CHANGED}, (_JOB_ID, _WAIT, _KNOWN), (404,),
        headers=_ETAG,
    ),
    ("DELETE", "/jobs/{job_id}"): Call(
        "jobs", "Cancel: at once if queued, by stopping the training if it runs", {200: _json("Cancelled")}, (_JOB_ID,),
        (404, 409),
    ),
    ("POST", "/jobs/{job_id}/retry"): Call(
        "jobs", "A failed or cancelled job again; it resumes from its checkpoint", {202: _json("Retried")}, (_JOB_ID,),
        (404, 409, 429), headers=_LOCATION,
    ),
    ("GET", "/jobs/{job_id}/logs"): Call(
        "jobs", "The training's log", {200: _text("text/plain")},
        (_JOB_ID, _parameter("tail", COUNT, "its last lines only"), _FOLLOW), (404,),
    ),
    ("GET", "/jobs/{job_id}/metrics"): Call(
        "jobs", "Epochs and telemetry, a JSON object a line", {200: _text("application/x-ndjson")},
        (_JOB_ID, _parameter("since", COUNT, "a byte: what X-Next-Since last said"), _FOLLOW), (404,),
    ),
    ("GET", "/nodes"): Call("queue", "What each node's monitor last said, with its age", {200: _json("Nodes")}),
    ("GET", "/configs"): Call("catalogue", "What `config` may name", {200: _json("Configs")}),
    ("GET", "/workflows"): Call("catalogue", "What `workflow` may name", {200: _json("Workflows")}),
    ("GET", "/metrics"): Call("service", "The queue for Prometheus", {200: _text("text/plain")}),
    ("GET", "/openapi.json"): Call("docs", "This description", {200: _json("OpenApi")}),
    ("GET", "/docs"): Call("docs", "This description as a page", {200: _text("text/html")}),
    ("GET", "/docs/{name}"): Call(
        "docs", "What the page consists of",
        {200: {**_text("text/javascript"), **_text("text/css"), **_text("image/svg+xml")}},
        (_parameter("name", TEXT, place="path"),), (404,),
    ),
    ("GET", "/healthz"): Call("health", "Whether this process answers", {200: _json("Health")}),
    ("GET", "/readyz"): Call(
        "health", "Whether a job submitted now is kept and started", {200: _json("Ready")}, problems=(503,)
    ),
    ("GET", "/version"): Call("health", "Which gpuq this is", {200: _json("Version")}),
}  # fmt: skip

#: Every call that touches Redis or takes parameters may have these.
_GUARDED = (400, 401, 403, 503)


def description(version: str, prefix: str) -> dict[str, Any]:
    """The whole document; `prefix` is the path that a proxy has put before ours ("" for none)."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), call in CALLS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gpuq",
            "version": version,
            "description": "The queue of a lab's GPUs. Every refusal is a problem (RFC 9457) whose `error` is one "
            "sentence with the remedy; times are RFC 3339 in UTC.",
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.COMPONENTS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "with AUTH=token"}
            },
        },
    }


def _operation(method: str, path: str, call: Call) -> dict[str, Any]:
    words = [word.strip("{}").replace(".", "_") for word in path.split("/") if word]
    operation: dict[str, Any] = {
        "operationId": "_".join([method.lower(), *words]),
        "tags": [call.tag],
        "summary": call.summary,
        "parameters": list(call.parameters),
        "responses": dict(_responses(call)),
    }
    if call.body:
        operation["requestBody"] = {"required": True, "content": _json(call.body)}
    if call.tag in OPEN_TAGS:
        operation["security"] = []
    return operation


def _responses(call: Call) -> Iterator[tuple[str, dict[str, Any]]]:
    headers = {name: {"schema": schema} for name, schema in call.headers.items()}
    for status, content in call.answers.items():
        answer = {"description": HTTPStatus(status).phrase, "headers": headers}
        yield str(status), {**answer, "content": content} if content else answer
    for status in sorted({*OPEN_TAGS.get(call.tag, _GUARDED), *call.problems}):
        problem = {"application/problem+json": {"schema": ref("Problem")}}
        yield str(status), {"description": HTTPStatus(status).phrase, "content": problem}
