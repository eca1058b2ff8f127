"""Query parameters: each call names those it takes, and anything else is refused with the nearest one."""

import base64
import re
from collections.abc import Callable
from typing import TypeVar

from flask import request

from jobqueue.clock import seconds
from queue_manager.http.problems import bad_field, bad_fields, short, unknown_names

MAX_LIMIT = 500
DEFAULT_LIMIT = 100
_NUMBER = re.compile(r"[0-9]{1,15}")
_FLAGS = {"": True, "1": True, "true": True, "0": False, "false": False}

T = TypeVar("T")


def take(*known: str) -> None:
    """Refuse every parameter of the request that is not one of `known`, and each that stands there twice."""
    if unknown := unknown_names(request.args, known, "parameter"):
        raise bad_fields(unknown)
    twice = [name for name in known if len(request.args.getlist(name)) > 1]
    if twice:
        raise bad_field(twice[0], "is given twice")


def number(name: str, default: int | None, low: int, high: int) -> int | None:
    text = request.args.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise bad_field(name, f"must be a whole number from {low} to {high}")
    return int(text)


def limit() -> int:
    return number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT) or DEFAULT_LIMIT


def flag(name: str) -> bool:
    """`?follow`, `?follow=1`, `?follow=true` → True; absent, 0, false → False."""
    text = request.args.get(name)
    if text is None:
        return False
    if text not in _FLAGS:
        raise bad_field(name, "must be 1 or 0")
    return _FLAGS[text]


def time(name: str) -> float | None:
    """An RFC 3339 time as seconds since the epoch."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return seconds(text)
    except (ValueError, OverflowError):
        raise bad_field(
            name, "must be a time with an offset", "like 2026-11-24T12:51:16Z"
        ) from None


def cursor(read: Callable[[str], T]) -> T | None:
    """What `write_cursor` wrote, through `read`, which raises ValueError for what it did not write."""
    text = request.args.get("cursor")
    if text is None:
        return None
    try:
        return read(base64.b64decode(text, altchars=b"-_", validate=True).decode("utf-8"))
    except ValueError:
        raise bad_field(
            "cursor", f"{short(text)} is none of ours; take it from `next` of the page before"
        ) from None


def write_cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")
