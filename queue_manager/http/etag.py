"""ETags: what an answer says beside the clock, so that asking again costs nothing while nothing has changed."""

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify, request

from jobqueue.reason import ReasonCode
from queue_manager.http.json_body import canonical

#: Estimates run with the clock; the tag leaves them out, which is why it is a weak one.
_CLOCK_DEPENDENT = frozenset(
    {"estimated_wait", "estimated_wait_s", "estimated_start_at", "estimated_end_at"}
)


def tag_of(answer: Mapping[str, Any]) -> str:
    """The same for two answers that differ in nothing but estimates."""
    return hashlib.sha256(canonical(_timeless(answer)).encode("utf-8", "replace")).hexdigest()[:20]


def conditional(answer: Mapping[str, Any]) -> Response:
    """The answer with its ETag; 304 without a body where the client has it already."""
    response = jsonify(answer)
    response.set_etag(tag_of(answer), weak=True)
    response.headers["Cache-Control"] = (
        "private, no-cache"  # it may be kept, and must be asked about
    )
    response.make_conditional(request)
    return response


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    # Whose turn it is stands in the position; the sentence about it counts minutes.
    left_out = {"message"} if value.get("code") == ReasonCode.WAITING_TURN else _CLOCK_DEPENDENT
    return {name: _timeless(item) for name, item in value.items() if name not in left_out}
