"""This module describes what the API takes and returns: the components of /openapi.json.

The fields of a submission and of a job come from their declarations (`jobqueue/job.py`,
`queue_manager/submission/field_rules.py`). A test compares real answers with these schemas.
"""

from jobqueue.codec.fields import COUNT, TEXT, TIME, Schema, list_of
from jobqueue.codec.fields import nullable as maybe
from jobqueue.job import PUBLIC, Job, JobSpec, Result
from jobqueue.phase import Phase
from queue_manager.submission.field_rules import RULES, USER
from queue_manager.submission.parse import REQUIRED

YES_OR_NO: Schema = {"type": "boolean"}
PHASE: Schema = {"type": "string", "enum": [phase.value for phase in Phase]}
ANYTHING: Schema = {"type": "object"}


def ref(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def always(**properties: Schema) -> Schema:
    """Return the schema of an object that has all of these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_WAIT = {
    "position": {**maybe(COUNT), "description": "1 = next; null if the job is not queued"},
    "estimated_wait": {**maybe(TEXT), "examples": ["45 minutes", "unknown"]},
    "estimated_wait_s": maybe(COUNT),
    "estimated_start_at": maybe(TIME),
}
_DECLARED = JobSpec.FIELDS.schemas | Job.FIELDS.schemas | Result.FIELDS.schemas
_RECORD_ALONE = {
    **{name: schema for name, schema in _DECLARED.items() if name != "phase"},
    "user": USER,
    "status": PHASE,
    "reason": ref("Reason"),
    "exit_code": maybe({"type": "integer"}),
    "run_folder": TEXT,
}
_BRIEF = {
    **{name: _RECORD_ALONE[name] for name in PUBLIC},
    "reason": ref("Reason"),
    **_WAIT,
    "estimated_end_at": maybe(TIME),
}
_RECORD = _BRIEF | _RECORD_ALONE
#: The top of a status is the most relevant job; all its fields are null if there is none.
_TOP = {
    **{
        name: schema if "null" in schema.get("type", "") else maybe(schema)
        for name, schema in _BRIEF.items()
    },
    "user": USER,
    "status": {"type": "string", "enum": ["idle", *PHASE["enum"]]},
}
_SUBMISSION = {
    name: rule.schema if name in REQUIRED else maybe(rule.schema) for name, rule in RULES.items()
}
_RESULT: Schema = {
    **always(checkpoint=TEXT, log=TEXT, metrics=TEXT),
    "properties": {
        "checkpoint": TEXT,
        "log": TEXT,
        "metrics": TEXT,
        "report": {**TEXT, "description": "if there is one"},
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
