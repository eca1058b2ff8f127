"""Read the queue manager's answers: JSON objects, and problems as errors."""

import json
from collections.abc import Iterator
from typing import Any

from gpuq.errors import GpuqFailure, NotFound, Refused, ServerTrouble


def object_of(content: bytes) -> dict[str, Any] | None:
    """Return the JSON object, None if the content is something else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def failure_of(status: int, content: bytes, otherwise: str) -> GpuqFailure:
    """Return the error for a refused request; `otherwise` is its text if there is no problem."""
    problem = object_of(content) or {}
    message = "\n".join([str(problem.get("detail") or otherwise), *_further(problem)])
    if status >= 500:
        return ServerTrouble(message, str(problem.get("code") or ""))
    return NotFound(message) if status == 404 else Refused(message)


def _further(problem: dict[str, Any]) -> Iterator[str]:
    """Yield the errors beyond the first, which is in `detail` already."""
    errors = problem.get("errors")
    for error in errors[1:] if isinstance(errors, list) else []:
        if isinstance(error, dict):
            hint = f" ({error['hint']})" if error.get("hint") else ""
            yield f"  {error.get('field')}: {error.get('rule')}{hint}"
