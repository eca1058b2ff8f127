"""Every call of the API in one table, from which document.py makes /openapi.json.

A test compares the table with the routes, and real answers with the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobqueue.codec.fields import COUNT, TEXT, TIME, Schema
from queue_manager.http import query
from queue_manager.openapi.schemas import PHASE, ref
from queue_manager.requests.long_poll import MAX_WAIT_S
from queue_manager.submission.field_rules import USER

Content = dict[str, Any]

#: The schema of most problems.
PROBLEM = "Problem"
#: Calls with these tags need no token, because they show nobody's data. The tag -> the problems
#: that they may still answer (403: the Host is not this machine).
OPEN_TAGS = {"health": (403,), "docs": (400, 403)}


@dataclass(frozen=True)
class Call:
    """One method of one path; `answers` and `problems` are by status."""

    tag: str
    summary: str
    answers: Mapping[int, Content]
    parameters: tuple[Schema, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)  #: besides those of every call
    body: str | None = None
    headers: Mapping[str, Schema] = field(default_factory=dict)  #: not of problems
    text: str = ""


Calls = dict[tuple[str, str], Call]


def json_content(name: str) -> Content:
    """Return the content of an answer or body with the schema of this name."""
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


_JOB_ID = _parameter("job_id", TEXT, "the id from POST /submit", place="path")
_USER = _parameter("user", USER, "the user whose jobs are shown", place="path")
_FLAG: Schema = {"type": "string", "enum": ["1", "0", "true", "false", ""]}
_FOLLOW = _parameter("follow", _FLAG, "keep the answer open until the job has ended")
_LIMIT = _parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": query.MAX_LIMIT, "default": query.DEFAULT_LIMIT},
    "most jobs on a page",
)
_CURSOR = _parameter("cursor", TEXT, "from `next` of the previous page")
_WAIT = _parameter(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_S},
    "long-poll timeout in seconds; returns early when the ETag changes",
)
_KNOWN = _parameter(
    "If-None-Match",
    TEXT,
    "the ETag of an earlier answer: 304 if nothing but estimates has changed",
    "header",
)
_KEY = _parameter(
    "Idempotency-Key", TEXT, "the same key and body return the same job for 7 days", "header"
)
_ETAG = {"ETag": TEXT}
_LOCATION = {"Location": TEXT}
_NOT_CHANGED: Content = {}

_JOBS: Calls = {
    ("POST", "/submit"): Call(
        "jobs",
        "Submit a training job",
        {200: json_content("DryRun"), 202: json_content("Queued")},
        (_KEY,),
        {409: PROBLEM, 413: PROBLEM, 415: PROBLEM, 429: PROBLEM},
        body="Submission",
    ),
    ("GET", "/jobs"): Call(
        "jobs",
        "List job records: one user's, newest first; or all: running, queued, finished",
        {200: json_content("Jobs"), 304: _NOT_CHANGED},
        (
            _parameter("user", USER, "only this user's jobs"),
            _parameter("status", PHASE, "only jobs in this phase"),
            _parameter("since", TIME, "only jobs submitted at or after this time"),
            _LIMIT,
            _CURSOR,
            _KNOWN,
        ),
        headers=_ETAG,
    ),
    ("GET", "/jobs/{job_id}"): Call(
        "jobs",
        "Show a job's record and its timeline",
        {200: json_content("Job"), 304: _NOT_CHANGED},
        (_JOB_ID, _WAIT, _KNOWN),
        {404: PROBLEM},
        headers=_ETAG,
    ),
    ("DELETE", "/jobs/{job_id}"): Call(
        "jobs",
        "Cancel a job",
        {200: json_content("Cancelled")},
        (_JOB_ID,),
        {404: PROBLEM, 409: PROBLEM},
        text="A queued job is cancelled at once. A running training is stopped first, and gets "
        "time to save a checkpoint.",
    ),
    ("POST", "/jobs/{job_id}/retry"): Call(
        "jobs",
        "Queue a failed or cancelled job again",
        {202: json_content("Retried")},
        (_JOB_ID,),
        {404: PROBLEM, 409: PROBLEM, 429: PROBLEM},
        headers=_LOCATION,
        text="The training resumes from its checkpoint.",
    ),
    ("GET", "/jobs/{job_id}/logs"): Call(
        "jobs",
        "Read the training's log",
        {200: _text("text/plain")},
        (_JOB_ID, _parameter("tail", COUNT, "only this many last lines"), _FOLLOW),
        {404: PROBLEM},
    ),
    ("GET", "/jobs/{job_id}/metrics"): Call(
        "jobs",
        "Read epochs and telemetry, one JSON object per line",
        {200: _text("application/x-ndjson")},
        (_JOB_ID, _parameter("since", COUNT, "byte offset: the last X-Next-Since"), _FOLLOW),
        {404: PROBLEM},
    ),
}

_QUEUE: Calls = {
    ("GET", "/status/{user}"): Call(
        "queue",
        "Show a user's jobs, the most relevant one at the top",
        {200: json_content("Status"), 304: _NOT_CHANGED},
        (_USER, _WAIT, _KNOWN),
        headers=_ETAG,
    ),
    ("GET", "/queue"): Call(
        "queue",
        "Show the queue in order, and the running jobs",
        {200: json_content("Queue"), 304: _NOT_CHANGED},
        (_LIMIT, _CURSOR, _KNOWN),
        headers=_ETAG,
    ),
    ("GET", "/nodes"): Call(
        "queue",
        "Show the last report of each node's monitor, with its age",
        {200: json_content("Nodes")},
    ),
    ("GET", "/configs"): Call("catalogue", "List config files", {200: json_content("Configs")}),
    ("GET", "/workflows"): Call("catalogue", "List templates", {200: json_content("Workflows")}),
}

_SERVICE: Calls = {
    ("GET", "/metrics"): Call(
        "service", "Read the queue's metrics for Prometheus", {200: _text("text/plain")}
    ),
    ("GET", "/openapi.json"): Call("docs", "Read this description", {200: json_content("OpenApi")}),
    ("GET", "/docs"): Call("docs", "Open this description as a page", {200: _text("text/html")}),
    ("GET", "/docs/{name}"): Call(
        "docs",
        "Read a file that the page loads",
        {200: {**_text("text/javascript"), **_text("text/css"), **_text("image/svg+xml")}},
        (_parameter("name", TEXT, "the file's name", place="path"),),
        {404: PROBLEM},
    ),
    ("GET", "/healthz"): Call(
        "health", "Check that this process answers", {200: json_content("Health")}
    ),
    ("GET", "/readyz"): Call(
        "health",
        "Check that a job submitted now will be kept and started",
        {200: json_content("Ready")},
        problems={503: "NotReady"},
    ),
    ("GET", "/version"): Call("health", "Show gpuq's version", {200: json_content("Version")}),
}

CALLS: Calls = {**_JOBS, **_QUEUE, **_SERVICE}
