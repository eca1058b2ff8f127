"""Read a request's body as strict JSON.

What Python's reader accepts but other readers do not is refused, and so are bodies that are
expensive to process.
"""

import json
import math
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from queue_manager.http.problems import Problem, short

MAX_BODY_BYTES = 1024 * 1024
#: Deeper than any training's configuration; later steps walk the body recursively.
MAX_DEPTH = 64
#: Far more than any configuration has; each value costs about 13 µs in YAML and the schema.
MAX_VALUES = 2000


class _Refused(ValueError):
    """The body is not accepted; the text is one sentence."""


def read_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body; raises Problem 400 or 415, or RequestEntityTooLarge."""
    if not request.is_json:
        raise _wrong_type(short(request.mimetype or "none"))
    data = request.get_data()
    if request.content_length is None and len(data) >= MAX_BODY_BYTES:
        raise RequestEntityTooLarge  # Flask truncates a chunked body at the limit without an error
    try:
        return _parse(data)
    except _Refused as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error


def _wrong_type(given: str) -> Problem:
    detail = (
        f"The content type must be application/json, not {given}; "
        "with curl: -H 'Content-Type: application/json'."
    )
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)


def canonical(body: Any) -> str:
    """Return the same text for the same JSON value, whatever its spaces and order of keys."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _parse(data: bytes) -> dict[str, Any]:
    # Counted before they are built: building them alone would take 0.3 s.
    if data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise _Refused(f"{_TOO_DEEP[:-1]}, or has more than {MAX_VALUES} lists and objects.")
    text = _decode(data)
    body = _load(text)
    if not isinstance(body, dict):
        raise _Refused(
            'The body must be a JSON object, like {"user": …, "config": …, "workdir": …}.'
        )
    _check_size(body)
    if "\\u" in text:  # only an escape can make a surrogate
        _check_text(body)
    return body


def _decode(data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise _Refused("The body starts with a byte order mark; send UTF-8 without one.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Refused(f"The body is not UTF-8 (byte {error.start}).") from error


def _load(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _Refused(f"The body is not JSON: {error.msg} ({where}).") from error
    except _Refused:
        raise
    except ValueError as error:  # a whole number with more digits than Python reads
        raise _Refused("A number in the body has too many digits.") from error
    except RecursionError as error:
        raise _Refused(_TOO_DEEP) from error


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Refused(f"The body has the key {short(key)!a} twice; remove one of them.")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"The body is not JSON: JSON has no {name}.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Refused(f"The number {short(digits)} in the body is too large.")
    return number


def _check_size(body: Any) -> None:
    """Refuse a body that is too deep or has too many values.

    It goes level by level and counts a level before building it: a body of a megabyte may hold
    hundreds of thousands of values.
    """
    level, count = [body], 0
    for _ in range(MAX_DEPTH):
        count += sum(len(node) for node in level)
        if count > MAX_VALUES:
            raise _Refused(
                f"The body has more than {MAX_VALUES} values; "
                "put a large configuration into the config folder."
            )
        level = [
            child for node in level for child in _children(node) if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _Refused(_TOO_DEEP)


def _children(node: dict[str, Any] | list[Any]) -> Any:
    return node.values() if isinstance(node, dict) else node


def _check_text(body: Any) -> None:
    r"""Refuse a lone surrogate ("\ud800"): it is valid JSON, but cannot be stored or shown."""
    try:
        canonical(body).encode()
    except UnicodeEncodeError as error:
        raise _Refused(
            "A text in the body has half a surrogate pair (\\ud800 to \\udfff alone)."
        ) from error
