"""Compute ETags that ignore estimates, so that polling is cheap while nothing has changed."""

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify, request

from jobqueue.reason import ReasonCode
from queue_manager.http.json_body import canonical

#: Estimates change with the clock. The tag ignores them, which is why it is a weak one.
_CLOCK_DEPENDENT = frozenset(
    {"estimated_wait", "estimated_wait_s", "estimated_start_at", "estimated_end_at"}
)


def tag_of(answer: Mapping[str, Any]) -> str:
    """Return a tag that is the same for two answers that differ in nothing but estimates."""
    return hashlib.sha256(canonical(_timeless(answer)).encode("utf-8", "replace")).hexdigest()[:20]


def conditional(answer: Mapping[str, Any]) -> Response:
    """Return the answer with its ETag, or 304 without a body if the client has it already."""
    response = jsonify(answer)
    response.set_etag(tag_of(answer), weak=True)
    response.headers["Cache-Control"] = "private, no-cache"  # a cache must revalidate it
    response.make_conditional(request)
    return response


def _timeless(value: Any) -> Any:
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    # The position says whose turn it is; the sentence about it counts minutes.
    left_out = {"message"} if value.get("code") == ReasonCode.WAITING_TURN else _CLOCK_DEPENDENT
    return {name: _timeless(item) for name, item in value.items() if name not in left_out}
