"""`?wait=`: an answer that is held back until it would be another one, so that nobody needs to ask over and over."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, request

from queue_manager.files.tail import PAUSE_S, has_gone
from queue_manager.http import query
from queue_manager.http.etag import conditional, tag_of
from queue_manager.requests.services import Services

MAX_WAIT_S = 60
#: Pauses between two looks at the answer itself: reasons and the scheduler's absence change without an event.
_PAUSES_PER_LOOK = 4

Answer = Mapping[str, Any]


def answer_when_changed(read: Callable[[], Answer], app: Services) -> Response:
    """What `read` gives: at once, or with `?wait=<s>` when it is no longer what If-None-Match names, or what it is now.

    Whoever waits has a follower's place. Redis' newest event is asked for four times a second: a blocking read for each
    of 32 who wait would need as many connections, and would not notice that Redis hangs or the client has gone.
    """
    wait_s = query.number("wait", 0, 0, MAX_WAIT_S) or 0
    answer = read()
    if wait_s and (not request.if_none_match or _is_known(answer)):
        app.places.take_or_refuse()
        try:
            answer = _changed(answer, read, app, wait_s)
        finally:
            app.places.leave()
    return conditional(answer)


def _is_known(answer: Answer) -> bool:
    return request.if_none_match.contains_weak(tag_of(answer))


def _changed(answer: Answer, read: Callable[[], Answer], app: Services, wait_s: float) -> Answer:
    """The first other answer within `wait_s`, else the last."""
    deadline, tag, event = app.clock() + wait_s, tag_of(answer), app.store.last_event_id()
    # Counted as well as measured: a wall clock may be set back meanwhile.
    for number in range(1, math.ceil(wait_s / PAUSE_S) + 1):
        if app.clock() >= deadline or has_gone(request.environ):
            break
        app.pause(PAUSE_S)
        newest = app.store.last_event_id()
        if newest != event or number % _PAUSES_PER_LOOK == 0:
            event, answer = newest, read()
            if tag_of(answer) != tag:
                break
    return answer
