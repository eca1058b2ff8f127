"""A request's body as strict JSON: whatever Python's reader lets pass but another reader would not is refused."""

import json
import math
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from queue_manager.http.problems import Problem, short

MAX_BODY_BYTES = 1024 * 1024
#: Deeper than any training's configuration; what follows (canonical form, YAML) walks the body recursively.
MAX_DEPTH = 64
#: Far more than any configuration has; each costs some 13 µs on its way through YAML and the schema.
MAX_VALUES = 2000


class _Refused(ValueError):
    """Not JSON as we take it; the text is one sentence."""


def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body; raises Problem 400 or 415, or RequestEntityTooLarge."""
    if not request.is_json:
        given = short(request.mimetype or "none")
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The content type must be application/json, not {given}; with curl: -H 'Content-Type: application/json'.",
        )
    data = request.get_data()
    if request.content_length is None and len(data) >= MAX_BODY_BYTES:
        raise RequestEntityTooLarge  # a chunked body, which Flask cuts off there without a word
    try:
        return _parse(data)
    except _Refused as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error


def canonical(body: Any) -> str:
    """The same text for the same JSON value, whatever its spaces and the order of its keys."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _parse(data: bytes) -> dict[str, Any]:
    if (
        data.count(b"[") + data.count(b"{") > MAX_VALUES
    ):  # before they are built: that alone would take 0.3 s
        raise _Refused(f"{_TOO_DEEP[:-1]}, or has more than {MAX_VALUES} lists and objects.")
    if data.startswith(b"\xef\xbb\xbf"):
        raise _Refused("The body starts with a byte order mark; send UTF-8 without one.")
    try:
        text = data.decode("utf-8")
        body = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except UnicodeDecodeError as error:
        raise _Refused(f"The body is not UTF-8 (byte {error.start}).") from error
    except json.JSONDecodeError as error:
        raise _Refused(
            f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except _Refused:
        raise
    except ValueError as error:  # a whole number of more digits than Python reads
        raise _Refused("The body is not taken: a number in it has too many digits.") from error
    except RecursionError as error:
        raise _Refused(_TOO_DEEP) from error
    if not isinstance(body, dict):
        raise _Refused(
            'The body must be a JSON object, like {"user": …, "config": …, "workdir": …}.'
        )
    _check_size(body)
    if "\\u" in text:  # only an escape makes a surrogate
        _check_text(body)
    return body


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Refused(f"The body has the key {short(key)!a} twice; which one is meant?")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"The body is not JSON: it has no {name}.")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Refused(f"The body is not taken: the number {short(digits)} is too large.")
    return number


def _check_size(body: Any) -> None:
    """Level by level, and counted before a level is built: a body of a megabyte may hold hundreds of thousands."""
    level, count = [body], 0
    for _ in range(MAX_DEPTH):
        count += sum(len(node) for node in level)
        if count > MAX_VALUES:
            raise _Refused(
                f"The body has more than {MAX_VALUES} values; lay a large configuration in the config folder."
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
    r"""A lone surrogate ("\ud800") is JSON but no text: nothing can store or show it."""
    try:
        canonical(body).encode()
    except UnicodeEncodeError as error:
        raise _Refused(
            "The body has half a surrogate pair (\\ud800 to \\udfff alone) in a text."
        ) from error
