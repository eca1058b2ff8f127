"""Call the queue manager over HTTP. Only this file imports `requests`; it translates its errors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import requests

from gpuq.errors import GpuqFailure, NotFound, Unreachable
from gpuq.remote.answers import failure_of, object_of

DEFAULT_SERVER = "http://127.0.0.1:8081"
TIMEOUT_S = 10.0
#: A followed log may be silent for a long time while a training loads its data.
FOLLOW_TIMEOUT_S = 24 * 3600.0
#: The server returns no more jobs at once.
_LARGEST_PAGE = 500
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Metrics:
    """Lines of metrics.jsonl, and the byte offset of the next ones."""

    lines: list[dict[str, Any]]
    next_since: int


class Client:
    """Calls one queue manager; every call raises the errors of gpuq.errors.

    `server` is its address, with a proxy's path prefix if there is one. `is_here` says that it is
    on this machine, whatever its address.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        timeout_s: float = TIMEOUT_S,
        token: str | None = None,
        is_here: bool = False,
    ) -> None:
        self.server = server.rstrip("/")
        self._timeout_s = timeout_s
        if not _is_address(self.server):
            raise Unreachable(
                f"{server!r} is not a server's address; write it like http://HOST:8081."
            )
        self._session = requests.Session()
        # A lab's HTTP_PROXY is for other hosts; it cannot reach this machine's own ports.
        self._session.trust_env = not (is_here or urlsplit(self.server).hostname in _LOOPBACK)
        if token is not None:
            self._session.auth = _Bearer(token)

    def submit(self, body: dict[str, Any], idempotency_key: str | None = None) -> dict[str, Any]:
        """POST /submit."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._json("POST", "/submit", json=body, headers=headers)

    def status(self, user: str) -> dict[str, Any]:
        """GET /status/<user>."""
        return self._json("GET", f"/status/{_part(user)}")

    def queue(self, limit: int) -> dict[str, Any]:
        """GET /queue."""
        return self._json("GET", "/queue", params={"limit": limit})

    def job(self, job_id: str) -> dict[str, Any]:
        """GET /jobs/<id>."""
        return self._json("GET", f"/jobs/{_part(job_id)}")

    def jobs(self, limit: int, **wanted: str | None) -> dict[str, Any]:
        """Return up to `limit` records from all pages; `next` is None if there are no more."""
        found: list[Any] = []
        cursor = None
        while True:
            params = {**wanted, "limit": min(limit - len(found), _LARGEST_PAGE), "cursor": cursor}
            page = self._json("GET", "/jobs", params=params)
            found += page["jobs"]
            cursor = _cursor(page["next"])
            if cursor is None or len(found) >= limit:
                return {"jobs": found, "next": page["next"]}

    def nodes(self) -> dict[str, Any]:
        """GET /nodes."""
        return self._json("GET", "/nodes")

    def configs(self) -> dict[str, Any]:
        """GET /configs."""
        return self._json("GET", "/configs")

    def workflows(self) -> dict[str, Any]:
        """GET /workflows."""
        return self._json("GET", "/workflows")

    def version(self) -> str:
        """Return the server's version."""
        return str(self._json("GET", "/version")["version"])

    def ready(self) -> dict[str, Any]:
        """GET /readyz; raises ServerTrouble with a code if the system is not ready."""
        return self._json("GET", "/readyz")

    def is_alive(self) -> bool:
        """Tell whether the server is a queue manager; a resource monitor has no /version."""
        try:
            return self._json("GET", "/version").get("name") == "gpuq"
        except NotFound:
            return False

    def cancel(self, job_id: str) -> dict[str, Any]:
        """DELETE /jobs/<id>."""
        return self._json("DELETE", f"/jobs/{_part(job_id)}")

    def retry(self, job_id: str) -> dict[str, Any]:
        """POST /jobs/<id>/retry."""
        return self._json("POST", f"/jobs/{_part(job_id)}/retry")

    def metrics(self, job_id: str, since: int) -> Metrics:
        """Return the lines since that offset; lines that are not JSON objects are left out."""
        answer = self._call("GET", f"/jobs/{_part(job_id)}/metrics", params={"since": since})
        lines = (object_of(line) for line in answer.content.splitlines())
        return Metrics(
            [line for line in lines if line], int(answer.headers.get("X-Next-Since") or since)
        )

    def logs(self, job_id: str, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield the log piece by piece, as it arrives."""
        params = {"tail": tail, "follow": "1" if follow else None}
        path = f"/jobs/{_part(job_id)}/logs"
        silence_s = FOLLOW_TIMEOUT_S if follow else self._timeout_s
        answer = self._call(
            "GET", path, params=params, stream=True, timeout=(self._timeout_s, silence_s)
        )
        try:
            yield from answer.iter_content(chunk_size=None)
        except requests.RequestException as error:
            raise Unreachable(
                f"The connection to {self.server} was lost while reading the log."
            ) from error

    def health_problem(self, path: str) -> str | None:
        """Return why a health call fails, as a sentence; None if it succeeds."""
        try:
            self._call("GET", path)
        except GpuqFailure as failure:
            return str(failure)
        return None

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        body = object_of(self._call(method, path, **options).content)
        if body is None:
            raise GpuqFailure(f"{self.server} does not answer like a gpuq server; check --server.")
        return body

    def _call(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._send(method, path, {"timeout": self._timeout_s, **options})
        if answer.status_code < 300:
            return answer
        otherwise = f"{answer.url} answered {answer.status_code} {answer.reason}."
        raise failure_of(answer.status_code, answer.content, otherwise)

    def _send(self, method: str, path: str, options: dict[str, Any]) -> requests.Response:
        url = f"{self.server}{path}"
        try:
            return self._session.request(method, url, allow_redirects=False, **options)
        except requests.Timeout as error:
            late = f"{self.server} did not answer within {self._timeout_s:g} s."
            raise Unreachable(late) from error
        except (requests.RequestException, ValueError) as error:  # ValueError: impossible host name
            hint = "start it with `gpuq up`, or name another one with --server or GPUQ_SERVER"
            raise Unreachable(f"No queue manager answers at {self.server}; {hint}.") from error


def _is_address(server: str) -> bool:
    try:
        parts = urlsplit(server)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port beyond 65535
        return False


class _Bearer(requests.auth.AuthBase):
    """Sends the token; requests would override a header of the session with ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _part(text: str) -> str:
    """Return the text as one part of a path, whatever a person typed."""
    return quote(text, safe="")


def _cursor(next_page: str | None) -> str | None:
    """Return the cursor in the next page's path; the rest may contain a proxy's prefix."""
    return None if next_page is None else parse_qs(urlsplit(next_page).query)["cursor"][0]
