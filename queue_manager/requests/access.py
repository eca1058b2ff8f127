"""Who may ask for what: access tokens (AUTH=token), or without them the guard against foreign web pages (AUTH=off)."""

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import g, request

from jobqueue.errors import JobNotFound, StoreUnavailable
from jobqueue.service.listening import is_loopback
from jobqueue.tokens import Token, digest_of
from queue_manager.http.problems import Problem, short
from queue_manager.requests.services import Services, services

#: Endpoints that hold nothing of anybody; a browser that opens /docs has no token to show.
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
#: What all may see who hold a token. A job's own calls are its user's and an admin's; so is what says so itself.
SHARED = frozenset(
    {
        *(
            "queue.queue",
            "status.status",
            "nodes.nodes",
            "catalogue.configs",
            "catalogue.workflows",
        ),
        "prometheus.metrics",
    }
)
#: These call `act_as` or `whose_jobs`.
SAYS_ITSELF = frozenset({"submit.submit", "jobs.index"})

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOW = (
    "send `Authorization: Bearer <token>` (with gpuq: GPUQ_TOKEN or --token-file); "
    "an admin makes one with gpuq admin token create --user <user>"
)


def check_access() -> None:
    """Before every request: raises Problem 401 or 403, JobNotFound, StoreUnavailable."""
    app = services()
    if app.settings.auth == "off":
        headers = request.headers
        check_page(
            request.method,
            headers.get("Host"),
            headers.get("Origin"),
            app.settings.queue_manager_host,
        )
        g.caller = None
    elif request.endpoint not in OPEN:
        _check_token(app)


def act_as(user: str) -> None:
    """Refuse (403) where the caller may not act as that user."""
    caller: Token | None = g.caller
    if caller is not None and not caller.may_act_as(user):
        detail = f"This token is {caller.user}'s, so user must be {caller.user}, not {user}; an admin may name anyone."
        raise Problem(HTTPStatus.FORBIDDEN, detail)


def may_read(user: str) -> bool:
    """Whether the caller may read that user's records and logs."""
    caller: Token | None = g.caller
    return caller is None or caller.may_act_as(user)


def whose_jobs(user: str | None) -> str | None:
    """The user whose records the caller gets who asked for those of `user` (None: of all)."""
    caller: Token | None = g.caller
    if caller is None or caller.is_admin:
        return user
    if user is not None and user != caller.user:
        detail = f"Records of {user}'s jobs are for {user} and admins; GET /status/{user} shows all where they stand."
        raise Problem(HTTPStatus.FORBIDDEN, detail)
    return caller.user


def still_valid(app: Services) -> Callable[[], bool]:
    """Whether the caller's token still is, for answers that go on for days. Redis may be away meanwhile."""
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


# -- AUTH=token ----------------------------------------------------------------------------------------------------


def _check_token(app: Services) -> None:
    job_id = (request.view_args or {}).get("job_id")
    # Found by its hash, so how long a comparison takes tells nothing: nobody can steer a SHA-256 towards a stored one.
    token, owner = app.store.token_and_owner(
        digest_of(_bearer(request.headers.get("Authorization"))), job_id or ""
    )
    g.caller = token = _valid(token, app.clock())
    if token.is_admin or request.endpoint is None:  # no such call: 404 or 405, as for all
        return
    if job_id is not None:
        _check_owner(token, job_id, owner)
    elif request.endpoint not in SHARED | SAYS_ITSELF:
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"{short(request.path)} is for admins; this token is {token.user}'s.",
        )


def _bearer(header: str | None) -> str:
    """The token in the header. None of these sentences repeats what was sent: it may be a secret."""
    if header is None:
        raise _who_is_it(f"This call needs an access token: {_HOW}.")
    scheme, _, secret = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise _who_is_it(f"The Authorization header is not of the kind Bearer: {_HOW}.")
    return secret.strip()


def _valid(token: Token | None, now: float) -> Token:
    if token is None:
        raise _who_is_it(
            f"This token is not known here, or no longer (mistyped, or revoked): {_HOW}.", _INVALID
        )
    if token.has_expired(now):
        raise _who_is_it(f"The token {token.id} of {token.user} has expired: {_HOW}.", _INVALID)
    return token


def _check_owner(token: Token, job_id: str, owner: str | None) -> None:
    if (
        owner is None
    ):  # refused here, not further on: by then the job may have come, and be another's
        raise JobNotFound(job_id)
    if not token.may_act_as(owner):
        detail = f"Job {job_id} is {owner}'s and this token is {token.user}'s: only {owner} and admins may do that."
        raise Problem(HTTPStatus.FORBIDDEN, detail)


_INVALID = 'Bearer error="invalid_token"'


def _who_is_it(detail: str, challenge: str = "Bearer") -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})


# -- AUTH=off ------------------------------------------------------------------------------------------------------


def check_page(method: str, host: str | None, origin: str | None, own_name: str) -> None:
    """Refuse what a foreign web page makes the browser of somebody on this machine ask. Raises Problem 403.

    Such a page reads answers only under a name of its own that it lets point here (DNS rebinding), which stands in
    Host; it sends a POST blindly, and then the browser names the page in Origin. A token, which no browser sends by
    itself, needs neither check.
    """
    if host is not None and not _is_ours(host, own_name):
        detail = f"The Host {short(host)} is not this machine; ask for localhost or 127.0.0.1, or use AUTH=token."
        raise Problem(HTTPStatus.FORBIDDEN, detail)
    if method not in _SAFE_METHODS and origin is not None and not _is_same(origin, host):
        detail = f"A page of {short(origin)} must not change anything here; use gpuq or curl, or AUTH=token."
        raise Problem(HTTPStatus.FORBIDDEN, detail)


@lru_cache(maxsize=64)
def _is_ours(host: str, own_name: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name == own_name.lower()


def _is_same(origin: str, host: str | None) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == (host or "").lower() != ""
    except ValueError:
        return False
