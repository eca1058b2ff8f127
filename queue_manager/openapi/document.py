"""Make the OpenAPI document from the table of calls."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from queue_manager.openapi.calls import CALLS, OPEN_TAGS, PROBLEM, Call, json_content
from queue_manager.openapi.health_schemas import HEALTH_COMPONENTS
from queue_manager.openapi.schemas import COMPONENTS, ref

_DESCRIPTION = (
    "A queue for trainings on shared GPUs. Every refusal is a problem document (RFC 9457) whose "
    "`error` is one sentence with the remedy. Times are RFC 3339 in UTC."
)

#: Every call that uses Redis or takes parameters may answer these problems.
_GUARDED = (400, 401, 403, 503)


def openapi_document(version: str, prefix: str) -> dict[str, Any]:
    """Return the whole document; `prefix` is the path that a proxy puts before ours, or ""."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), call in CALLS.items():
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, call)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gpuq",
            "version": version,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": prefix or "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": {**COMPONENTS, **HEALTH_COMPONENTS},
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token; needed with AUTH=token.",
                }
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
    if call.text:
        operation["description"] = call.text
    if call.body:
        operation["requestBody"] = {"required": True, "content": json_content(call.body)}
    if call.tag in OPEN_TAGS:
        operation["security"] = []
    return operation


def _responses(call: Call) -> Iterator[tuple[str, dict[str, Any]]]:
    headers = {name: {"schema": schema} for name, schema in call.headers.items()}
    for status, content in call.answers.items():
        answer = {"description": HTTPStatus(status).phrase, "headers": headers}
        yield str(status), {**answer, "content": content} if content else answer
    common = dict.fromkeys(OPEN_TAGS.get(call.tag, _GUARDED), PROBLEM)
    for status, schema in sorted({**common, **call.problems}.items()):
        problem = {"application/problem+json": {"schema": ref(schema)}}
        yield str(status), {"description": HTTPStatus(status).phrase, "content": problem}
