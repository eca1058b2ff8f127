"""JSON Schema of the answers of /readyz, whose codes come from closed lists."""

from jobqueue.codec.fields import TEXT, Schema, list_of
from jobqueue.service.health import ProblemCode, WarningCode
from queue_manager.openapi.schemas import COMPONENTS, always

_WARNING_CODE: Schema = {"type": "string", "enum": [code.value for code in WarningCode]}
_PROBLEM_CODE: Schema = {"type": "string", "enum": [code.value for code in ProblemCode]}
_MESSAGE = "Redis keeps no append-only file, so a crash loses the queue; …"

HEALTH_COMPONENTS: dict[str, Schema] = {
    "Ready": {
        **always(
            status=TEXT,
            warnings={**list_of(TEXT), "description": "the messages of coded_warnings"},
            coded_warnings=list_of(always(code=_WARNING_CODE, message=TEXT)),
        ),
        "examples": [
            {
                "status": "ready",
                "warnings": [_MESSAGE],
                "coded_warnings": [{"code": WarningCode.AOF_OFF.value, "message": _MESSAGE}],
            }
        ],
    },
    "NotReady": always(
        **COMPONENTS["Problem"]["properties"],
        code={**_PROBLEM_CODE, "description": "the problem, for programs"},
    ),
}
