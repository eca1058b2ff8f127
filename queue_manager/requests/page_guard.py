"""Refuse requests of web pages from other origins (AUTH=off).

A web page can make the browser of somebody on this machine send requests here. It can read the
answers only under a name of its own that it points here (DNS rebinding); that name is in Host. It
can send a POST without reading the answer; the browser then names the page in Origin. A browser
never sends a token by itself, so AUTH=token needs neither check.
"""

from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from jobqueue.service.listening import is_loopback
from queue_manager.http.problems import Problem, short

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def check_page(method: str, host: str | None, origin: str | None, own_name: str) -> None:
    """Raise Problem 403 if Host is another machine or a page of another origin writes."""
    if host is not None and not _is_ours(host, own_name):
        remedy = "use localhost or 127.0.0.1, or AUTH=token"
        detail = f"The Host {short(host)} is not this machine; {remedy}."
        raise Problem(HTTPStatus.FORBIDDEN, detail)
    if method not in _SAFE_METHODS and origin is not None and not _is_same(origin, host):
        remedy = "use gpuq or curl, or AUTH=token"
        detail = f"A page of {short(origin)} must not change anything here; {remedy}."
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
