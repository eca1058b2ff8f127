"""What the API takes and gives, as JSON Schema: the components of /openapi.json, which a test holds answers against."""

from typing import Any

from jobqueue.phase import Phase
from jobqueue.user import USER_PATTERN
from queue_manager.submission.parse import MAX_GPUS, MAX_TIME_LIMIT_S, REQUIRED

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES_OR_NO: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
USER: Schema = {"type": "string", "pattern": f"^{USER_PATTERN.pattern}$", "examples": ["user1"]}
PHASE: Schema = {"type": "string", "enum": [phase.value for phase in Phase]}
ANYTHING: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def maybe(schema: Schema) -> Schema:
    """The same, or null."""
    if "type" not in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def always(**properties: Schema) -> Schema:
    """An object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_WAIT = {
    "position": {**maybe(COUNT), "description": "1 = next; null where it is not queued"},
    "estimated_wait": {**maybe(TEXT), "examples": ["45 minutes", "unknown"]},
    "estimated_wait_s": maybe(COUNT),
    "estimated_start_at": maybe(TIME),
}
_BRIEF = {
    "job_id": TEXT,
    "user": USER,
    "config": TEXT,
    "status": PHASE,
    "submitted_at": TIME,
    "started_at": maybe(TIME),
    "finished_at": maybe(TIME),
    "reason": ref("Reason"),
    **_WAIT,
    "estimated_end_at": maybe(TIME),
}
_RECORD = {
    **_BRIEF,
    "name": TEXT,
    "workdir": TEXT,
    "gpus": COUNT,
    "time_limit_s": maybe(COUNT),
    "workflow": TEXT,
    "queued_at": TIME,
    "admitted_at": maybe(TIME),
    "cancel_requested_at": maybe(TIME),
    "attempt": COUNT,
    "requeues": COUNT,
    "node": maybe(TEXT),
    "gpu_uuids": list_of(TEXT),
    "workflow_name": maybe(TEXT),
    "exit_code": maybe({"type": "integer"}),
    "run_folder": TEXT,
}
#: At the top of a status stands the most relevant job, or nothing of one.
_TOP = {
    **{
        name: schema if "null" in schema.get("type", "") else maybe(schema)
        for name, schema in _BRIEF.items()
    },
    "user": USER,
    "status": {"type": "string", "enum": ["idle", *PHASE["enum"]]},
}
_SUBMISSION = {
    "user": USER,
    "config": {
        "anyOf": [TEXT, ANYTHING],
        "description": "a file's name below the config folder, or the configuration itself",
        "examples": ["config.yaml"],
    },
    "workdir": {
        **TEXT,
        "description": "/data/<user> or a folder below it",
        "examples": ["/data/user1"],
    },
    "name": {**maybe(TEXT), "description": "a label for people"},
    "gpus": {**maybe({"type": "integer", "minimum": 1, "maximum": MAX_GPUS}), "default": 1},
    "time_limit_s": maybe({"type": "integer", "minimum": 1, "maximum": MAX_TIME_LIMIT_S}),
    "workflow": {**maybe(TEXT), "description": "a template's name; GET /workflows lists them"},
    "dry_run": {**maybe(YES_OR_NO), "default": False},
}
_RESULT: Schema = {
    **always(checkpoint=TEXT, log=TEXT, metrics=TEXT),
    "properties": {
        "checkpoint": TEXT,
        "log": TEXT,
        "metrics": TEXT,
        "report": {**TEXT, "description": "where there is one"},
    },
}
_MOVE = always(at=TIME, **{"from": TEXT}, to=PHASE, code=TEXT, message=TEXT, detail=TEXT)
_NODE = always(
    node=TEXT,
    at=maybe(TIME),
    age_s=maybe({"type": "number"}),
    snapshot=maybe(ANYTHING),
    error=maybe(TEXT),
)

COMPONENTS: dict[str, Schema] = {
    "Problem": always(
        type=TEXT,
        title=TEXT,
        status={"type": "integer"},
        detail=TEXT,
        instance=TEXT,
        error={**TEXT, "description": "the same as detail"},
        errors=list_of(always(field=TEXT, rule=TEXT, hint=TEXT)),
        request_id=TEXT,
    ),
    "Reason": always(
        code={**TEXT, "description": "for machines"},
        message={**TEXT, "description": "for people"},
        detail={**TEXT, "description": "a quoted line of the job's log, for its user; or empty"},
    ),
    "Links": always(job=TEXT, logs=TEXT, metrics=TEXT),
    "Submission": {
        "type": "object",
        "properties": _SUBMISSION,
        "required": list(REQUIRED),
        "additionalProperties": False,
    },
    "Queued": always(status=PHASE, job_id=TEXT, **_WAIT, links=ref("Links")),
    "DryRun": always(dry_run=YES_OR_NO, workflow=ANYTHING, **_WAIT),
    "Brief": always(**_BRIEF),
    "Record": always(**_RECORD),
    "Job": always(
        **_RECORD,
        result=maybe(_RESULT),
        log_tail=list_of(TEXT),
        timeline=list_of(_MOVE),
        links=ref("Links"),
    ),
    "Status": always(**_TOP, jobs=list_of(ref("Brief"))),
    "Queue": always(
        length=COUNT, jobs=list_of(ref("Brief")), running=list_of(ref("Brief")), next=maybe(TEXT)
    ),
    "Jobs": always(jobs=list_of(ref("Record")), next=maybe(TEXT)),
    "Cancelled": always(status=PHASE, job_id=TEXT, cancelling=YES_OR_NO, links=ref("Links")),
    "Retried": always(status=PHASE, job_id=TEXT, position=COUNT, links=ref("Links")),
    "Nodes": always(nodes=list_of(_NODE)),
    "Configs": always(configs=list_of(always(name=TEXT))),
    "Workflows": always(
        workflows=list_of(always(name=TEXT, is_default=YES_OR_NO, checks_config=YES_OR_NO))
    ),
    "Health": always(status=TEXT),
    "OpenApi": ANYTHING,
    "Version": always(name=TEXT, version=TEXT),
}
