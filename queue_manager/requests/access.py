"""Decide which caller may make which call.

With AUTH=token each caller has an access token. With AUTH=off everybody is believed, and
page_guard.py refuses web pages of other origins.
"""

from collections.abc import Callable
from http import HTTPStatus

from flask import g, request

from jobqueue.errors import JobNotFound, StoreUnavailable
from jobqueue.tokens import Token, digest_of
from queue_manager.http.problems import Problem, short
from queue_manager.requests.page_guard import check_page
from queue_manager.requests.services import Services, services

#: Endpoints without anybody's data; a browser that opens /docs has no token to send.
OPEN = frozenset(
    {
        "health.healthz",
        "health.readyz",
        "health.show_version",
        "docs.openapi",
        "docs.page",
        "docs.asset",
    }
)
#: Endpoints for everybody with a valid token. Calls about a job are for its user and admins.
ANY_TOKEN = frozenset(
    {
        "queue.queue",
        "status.status",
        "nodes.nodes",
        "catalogue.configs",
        "catalogue.workflows",
        "prometheus.metrics",
    }
)
#: Endpoints that check the user themselves, with `check_may_act_as` or `user_filter`.
CHECKS_ITSELF = frozenset({"submit.submit", "jobs.index"})

_HOW = (
    "send `Authorization: Bearer <token>` (with gpuq: GPUQ_TOKEN or --token-file); "
    "an admin makes one with gpuq admin token create --user <user>"
)


def check_access() -> None:
    """Run before every request. Raises Problem 401 or 403, JobNotFound, StoreUnavailable."""
    app = services()
    if app.settings.auth == "off":
        sent, own_name = request.headers, app.settings.queue_manager_host
        check_page(request.method, sent.get("Host"), sent.get("Origin"), own_name)
        g.caller = None
    elif request.endpoint not in OPEN:
        _check_token(app)


def check_may_act_as(user: str) -> None:
    """Raise Problem 403 unless the caller may act as that user."""
    caller: Token | None = g.caller
    if caller is not None and not caller.may_act_as(user):
        detail = (
            f"This token belongs to {caller.user}, so user must be {caller.user}, not {user}; "
            "only an admin may name another user."
        )
        raise Problem(HTTPStatus.FORBIDDEN, detail)


def may_read(user: str) -> bool:
    """Tell whether the caller may read that user's records and logs."""
    caller: Token | None = g.caller
    return caller is None or caller.may_act_as(user)


def user_filter(user: str | None) -> str | None:
    """Return whose records the caller gets when asking for `user` (None: all). Raises Problem."""
    caller: Token | None = g.caller
    if caller is None or caller.is_admin:
        return user
    if user is not None and user != caller.user:
        detail = (
            f"Only {user} and admins may read records of {user}'s jobs; "
            f"GET /status/{user} shows everybody their state."
        )
        raise Problem(HTTPStatus.FORBIDDEN, detail)
    return caller.user


def still_valid(app: Services) -> Callable[[], bool]:
    """Return a check of the caller's token, for answers that last for days.

    While Redis is unavailable the token counts as valid.
    """
    caller: Token | None = g.caller

    def is_valid() -> bool:
        if caller is None:
            return True
        try:
            token, _ = app.store.token_and_owner(caller.digest, "")
        except StoreUnavailable:
            return True
        return token is not None and not token.has_expired(app.clock())

    return is_valid


def _check_token(app: Services) -> None:
    job_id = (request.view_args or {}).get("job_id")
    digest = digest_of(_bearer(request.headers.get("Authorization")))
    # A lookup by SHA-256 reveals nothing by its time: nobody can steer a hash towards a stored one.
    token, owner = app.store.token_and_owner(digest, job_id or "")
    g.caller = token = _valid(token, app.clock())
    if token.is_admin or request.endpoint is None:  # no such call: 404 or 405, as for everybody
        return
    if job_id is not None:
        _check_owner(token, job_id, owner)
    elif request.endpoint not in ANY_TOKEN | CHECKS_ITSELF:
        detail = f"{short(request.path)} is for admins; this token belongs to {token.user}."
        raise Problem(HTTPStatus.FORBIDDEN, detail)


def _bearer(header: str | None) -> str:
    """Return the token in the header. No error repeats what was sent: it may be a secret."""
    if header is None:
        raise _unauthorized(f"This call needs an access token: {_HOW}.")
    scheme, _, secret = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _unauthorized(f"The Authorization header is not of the form Bearer <token>: {_HOW}.")
    return secret.strip()


def _valid(token: Token | None, now: float) -> Token:
    if token is None:
        detail = f"This token is unknown: it is mistyped or was revoked; {_HOW}."
        raise _unauthorized(detail, _INVALID)
    if token.has_expired(now):
        raise _unauthorized(f"The token {token.id} of {token.user} has expired: {_HOW}.", _INVALID)
    return token


def _check_owner(token: Token, job_id: str, owner: str | None) -> None:
    # Refused here and not later: by then another user's job may exist under this id.
    if owner is None:
        raise JobNotFound(job_id)
    if not token.may_act_as(owner):
        detail = (
            f"Job {job_id} belongs to {owner} and this token to {token.user}; "
            f"only {owner} and admins may do that."
        )
        raise Problem(HTTPStatus.FORBIDDEN, detail)


_INVALID = 'Bearer error="invalid_token"'


def _unauthorized(detail: str, challenge: str = "Bearer") -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
