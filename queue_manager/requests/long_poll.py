"""`?wait=`: hold an answer back until it changes, so that clients need not poll."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from queue_manager.files.tail import PAUSE_S, has_disconnected
from queue_manager.http import query
from queue_manager.http.etag import conditional, tag_of
from queue_manager.requests.services import Services

MAX_WAIT_S = 60
#: Reasons and the scheduler's state change without an event, so the answer is read again then.
_PAUSES_PER_READ = 4

Answer = Mapping[str, Any]


def answer_when_changed(read: Callable[[], Answer], app: Services) -> Response:
    """Return what `read` returns: at once, or with `?wait=<s>` as soon as it changes.

    It has changed when it differs from what If-None-Match names, or without that header from what
    it is now. Each waiting request counts as a follower. Redis is asked for its newest event four
    times a second: a blocking read would need a connection for each of 32 waiting requests, and
    would notice neither a hanging Redis nor a client that has disconnected.
    """
    wait_s = query.number("wait", 0, 0, MAX_WAIT_S) or 0
    answer = read()
    if wait_s and (not request.if_none_match or _is_known(answer)):
        app.followers.acquire_or_refuse()
        try:
            answer = _changed(answer, read, app, wait_s)
        finally:
            app.followers.release()
    return conditional(answer)


def _is_known(answer: Answer) -> bool:
    return request.if_none_match.contains_weak(tag_of(answer))


def _changed(answer: Answer, read: Callable[[], Answer], app: Services, wait_s: float) -> Answer:
    """Return the first different answer within `wait_s`, else the last one."""
    deadline, tag, event = app.clock() + wait_s, tag_of(answer), app.store.last_event_id()
    # Counted as well as measured: a wall clock may be set back meanwhile.
    for number in range(1, math.ceil(wait_s / PAUSE_S) + 1):
        if app.clock() >= deadline or has_disconnected(request.environ):
            break
        app.pause(PAUSE_S)
        newest = app.store.last_event_id()
        if newest != event or number % _PAUSES_PER_READ == 0:
            event, answer = newest, read()
            if tag_of(answer) != tag:
                break
    return answer
