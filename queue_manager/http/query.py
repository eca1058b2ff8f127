"""Read query parameters; each call names those it accepts, and all others are refused."""

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
    """Refuse parameters of the request that are not in `known` or are given twice."""
    if unknown := unknown_names(request.args, known, "parameter"):
        raise bad_fields(unknown)
    twice = [name for name in known if len(request.args.getlist(name)) > 1]
    if twice:
        raise bad_field(twice[0], "is given twice")


def number(name: str, default: int | None, low: int, high: int) -> int | None:
    """Return the parameter as a whole number; raises Problem 400 outside `low` to `high`."""
    text = request.args.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise bad_field(name, f"must be a whole number from {low} to {high}")
    return int(text)


def limit() -> int:
    """Return the page size from `?limit=`."""
    return number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT) or DEFAULT_LIMIT


def flag(name: str) -> bool:
    """Return True for `?follow`, `?follow=1` and `?follow=true`; False if absent, 0 or false."""
    text = request.args.get(name)
    if text is None:
        return False
    if text not in _FLAGS:
        raise bad_field(name, "must be 1 or 0")
    return _FLAGS[text]


def time(name: str) -> float | None:
    """Return an RFC 3339 time as epoch seconds."""
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return seconds(text)
    except (ValueError, OverflowError):
        hint = "like 2026-11-24T12:51:16Z"
        raise bad_field(name, "must be a time with an offset", hint) from None


def cursor(read: Callable[[str], T]) -> T | None:
    """Return `read` of what `write_cursor` wrote; `read` raises ValueError for anything else."""
    text = request.args.get("cursor")
    if text is None:
        return None
    try:
        return read(base64.b64decode(text, altchars=b"-_", validate=True).decode("utf-8"))
    except ValueError:
        rule = f"{short(text)} is not a cursor of this server; use `next` of the previous page"
        raise bad_field("cursor", rule) from None


def write_cursor(text: str) -> str:
    """Return the text as an opaque cursor."""
    return base64.urlsafe_b64encode(text.encode("utf-8")).decode("ascii")
