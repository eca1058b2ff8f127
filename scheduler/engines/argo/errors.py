"""This module translates errors of calls to the API server into errors of an engine.

CallFailed
├── NoAnswer   no reliable answer; `sent` is whether the request may have taken effect
└── Refused    the API server refused, with its own message
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from scheduler.engines.contract import (
    EngineError,
    EngineForbidden,
    EngineUnavailable,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowRefused,
    WorkflowRejected,
)

_MOST_SHOWN = 400  # characters: a proxy may answer with a page of HTML
_QUOTA = re.compile(r"exceeded quota|failed quota")
_DENIED = re.compile(
    r"denied (the )?request"
)  # admission webhooks and policies, which answer 403 as RBAC does
_RBAC = re.compile(r"forbidden: User .* cannot ")

#: status -> what is wrong, and how an admin fixes it
_REMEDIES = {
    401: (
        "The API server does not accept the scheduler's credentials",
        "restart the scheduler's pod, or fix the file that KUBECONFIG names.",
    ),
    403: ("The scheduler lacks a permission", "restore it: kubectl apply -k deploy/"),
    404: (
        "The namespace or Argo Workflows itself is missing",
        "check: kubectl get namespaces, and kubectl get crd workflows.argoproj.io",
    ),
}


class CallFailed(Exception):
    pass


class NoAnswer(CallFailed):
    def __init__(self, message: str, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(CallFailed):
    """The status is above 299; `reason` and `name` are from the Status object, or empty."""

    def __init__(
        self,
        status: int,
        message: str,
        reason: str = "",
        name: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status
        self.message = message
        self.reason = reason
        self.name = name
        self.retry_after_s = retry_after_s


class Stream(Protocol):
    """A stream yields a watch's lines until the server or a call of `end` ends it."""

    def __iter__(self) -> Iterator[bytes]: ...

    def end(self) -> None: ...


class Api(Protocol):
    """An Api makes calls to one API server; each of them raises CallFailed."""

    def call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        """Send one request and return a JSON object; the body of a PATCH is a merge patch."""

    def text(self, path: str, query: Mapping[str, str]) -> str:
        """Return an answer that is not JSON: a log."""

    def stream(
        self, path: str, query: Mapping[str, str], silence_s: float
    ) -> AbstractContextManager[Stream]:
        """Return a watch that counts as broken after `silence_s` of silence."""


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refused:
    """Return a refusal, from the API server's Status object or from a proxy's own text."""
    status_object = _status_object(body)
    details = status_object.get("details") or {}
    text = str(status_object.get("message") or _one_line(body) or "no reason given")
    return Refused(
        status,
        text[:_MOST_SHOWN],
        str(status_object.get("reason") or ""),
        str(details.get("name") or ""),
        _seconds(headers.get("Retry-After") or details.get("retryAfterSeconds")),
    )


def is_absent(error: CallFailed, name: str) -> bool:
    """Return whether there is certainly no `name`; a missing namespace or CRD is another 404."""
    return isinstance(error, Refused) and error.status == 404 and error.name == name


def get_or_none(api: Api, path: str, name: str) -> dict[str, Any] | None:
    """Return the object `name` at `path`; None only if the server is certain that it is absent."""
    try:
        return api.call("GET", path)
    except CallFailed as error:
        if is_absent(error, name):
            return None
        raise


def change(api: Api, method: str, path: str, name: str, body: dict[str, Any]) -> bool:
    """Change the object whose uid is in `body`; False if another object has its name now."""
    try:
        api.call(method, path, body=body)
    except CallFailed as error:
        if isinstance(error, Refused) and (
            error.status == 409 or (error.status == 422 and "metadata.uid" in error.message)
        ):
            return False
        if not is_absent(error, name):
            raise
    return True


def of_a_look(error: CallFailed) -> EngineError:
    """Return what a failed call means that creates nothing."""
    if not isinstance(error, Refused):
        return EngineUnavailable(f"The API server is not responding: {error}.")
    if error.status not in _REMEDIES:
        text = f"The API server cannot serve the call now: {error}."
        return EngineUnavailable(text, error.retry_after_s)
    problem, remedy = _REMEDIES[error.status]
    return EngineForbidden(f"{problem}: {error}; {remedy}")


def of_a_call(error: CallFailed) -> EngineError:
    """Return what a failed call on one object means."""
    if not is_of_one(error):
        return of_a_look(error)
    return WorkflowRefused(
        f"The API server refuses a call on this one object: {error}; fix the object, or the policy "
        "that refuses it: the call is repeated in every cycle."
    )


def is_of_one(error: CallFailed) -> bool:
    """Return whether one object is refused, by its schema or a policy, and not a permission."""
    if not isinstance(error, Refused):
        return False
    if _DENIED.search(error.message):
        return True
    if error.status == 403:
        return error.reason == "Forbidden" and not _RBAC.search(error.message)
    return 400 <= error.status < 500 and error.status not in (401, 404, 408, 410, 429)


def of_a_create(error: CallFailed) -> EngineError:
    """Return what a failed create means: surely nothing created, refused for good, or unknown."""
    if isinstance(error, Refused):
        return _of_a_refused_create(error)
    if isinstance(error, NoAnswer) and not error.sent:
        return WorkflowNotMade(f"The API server cannot be reached: {error}.")
    return of_a_look(error)


@contextmanager
def engine_errors(meaning: Callable[[CallFailed], EngineError] = of_a_look) -> Iterator[None]:
    """Wrap calls that create nothing; `meaning` is of_a_call if they are all on one object."""
    try:
        yield
    except CallFailed as error:
        raise meaning(error) from error


def _of_a_refused_create(error: Refused) -> EngineError:
    # A Conflict is a quota that was counted at the same time.
    if error.status == 409 and error.reason != "Conflict":
        return WorkflowExists(error.message)
    if error.status in (400, 413, 422) or (error.status == 403 and _DENIED.search(error.message)):
        return WorkflowRejected(error.message)
    if error.status in (401, 403, 404) and not _QUOTA.search(error.message):
        return of_a_look(error)
    if _is_certain(error):
        text = f"The API server did not create the workflow: {error}."
        return WorkflowNotMade(text, error.retry_after_s)
    return of_a_look(error)


def _is_certain(error: Refused) -> bool:
    """Return whether it was refused before anything was stored.

    A timeout (408, 504) and the errors of etcd (500) leave that open.
    """
    if error.status < 500:
        return error.status != 408
    if error.status == 500:
        return "failed calling webhook" in error.message
    return error.status == 503 and error.reason == "ServiceUnavailable"


def _status_object(body: bytes) -> dict[str, Any]:
    """Return the API server's Status object; {} if the body is not one, such as a proxy's page."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _one_line(body: bytes) -> str:
    return " ".join(body.decode("utf-8", "replace").split())


def _seconds(text: Any) -> float | None:
    try:
        return max(0.0, float(text))
    except (TypeError, ValueError):
        return None
