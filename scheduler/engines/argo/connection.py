"""This module connects to the API server; no other file imports `kubernetes`."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from scheduler.engines.argo.errors import NoAnswer, Refused, refusal

_CONNECT_S = 5.0


class CredentialsMissing(Exception):
    """There is no way to connect to a cluster; the text is one sentence with the remedy."""


@dataclass(frozen=True)
class _Request:
    """One request; `timeout` is (connect, read) in seconds."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    timeout: tuple[float, float]

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json, */*;q=0.8"}
        if self.body is not None:
            kind = "merge-patch+json" if self.method == "PATCH" else "json"
            headers["Content-Type"] = f"application/{kind}"
        return headers


class Connection:
    """The connection makes calls to the API server that `load` configures.

    Each request is sent once, never retried unseen, and always has a timeout.
    """

    def __init__(self, load: Callable[[], ApiClient], timeout_s: float) -> None:
        self._load = load
        self._timeout = (_CONNECT_S, timeout_s)
        self._client = load()

    def call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        body_text = self._ask(_Request(method, path, query or {}, body, self._timeout))
        try:
            answer = json.loads(body_text)
        except ValueError as error:
            raise NoAnswer(f"its answer to {method} {path} is not JSON, or was cut off") from error
        if not isinstance(answer, dict):
            raise NoAnswer(f"its answer to {method} {path} is not an object")
        return answer

    def text(self, path: str, query: Mapping[str, str]) -> str:
        request = _Request("GET", path, query, None, self._timeout)
        return self._ask(request).decode("utf-8", errors="replace")

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], silence_s: float) -> Iterator["_Lines"]:
        response = self._open(_Request("GET", path, query, None, (_CONNECT_S, silence_s)))
        try:
            yield _Lines(response)
        finally:
            response.close()

    def _ask(self, request: _Request) -> bytes:
        response = self._open(request)
        with _no_answer():
            return response.data

    def _open(self, request: _Request) -> urllib3.HTTPResponse:
        """Send a request; after a 401 the credentials are read again, for one more try."""
        try:
            return _send(self._client, request)
        except Refused as error:
            if error.status != 401:
                raise
        try:
            self._client = self._load()
        except CredentialsMissing as error:
            raise Refused(401, str(error)) from error
        return _send(self._client, request)


class _Lines:
    """This stream yields the lines of a watch; see Stream."""

    def __init__(self, response: urllib3.HTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        with _no_answer():
            for chunk in self._response.stream(decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line for line in lines if line.strip())

    def end(self) -> None:
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            pass  # it has ended by itself


def _send(client: ApiClient, request: _Request) -> urllib3.HTTPResponse:
    serialized = _serialized(client, request)
    with _no_answer():
        response: urllib3.HTTPResponse = client.call_api(
            *serialized, _request_timeout=request.timeout
        ).response
        if response.status >= 300:
            raise refusal(response.status, response.headers, response.data)
    return response


def _serialized(client: ApiClient, request: _Request) -> tuple[Any, Any, Any, Any, Any]:
    try:
        return client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params=request.headers,
            body=request.body,
            auth_settings=["BearerToken"],
        )
    except (ConfigException, OSError) as error:  # the token's file is read again once a minute
        raise NoAnswer(f"the credentials cannot be read ({error})", sent=False) from error


@contextmanager
def _no_answer() -> Iterator[None]:
    """Turn errors of the network into NoAnswer."""
    try:
        yield
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise NoAnswer(str(error), sent=False) from error
    except (HTTPError, OSError) as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from error
    except ApiException as error:  # the client's own, for TLS
        raise NoAnswer(" ".join(str(error.reason).split())) from error


def load(kubeconfig: str | None) -> ApiClient:
    """Return a client with the credentials of `kubeconfig`, else the pod's, else KUBECONFIG's."""
    configuration = Configuration()
    in_cluster = kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if in_cluster:
            load_incluster_config(client_configuration=configuration)
        else:
            path = kubeconfig or os.environ.get("KUBECONFIG")
            load_kube_config(
                config_file=path, client_configuration=configuration, persist_config=False
            )
    except Exception as error:
        raise _missing(in_cluster, error) from error
    configuration.retries = False  # urllib3's own could create an object twice
    return ApiClient(configuration)


def _missing(in_cluster: bool, error: Exception) -> CredentialsMissing:
    source = "the pod's ServiceAccount token" if in_cluster else "KUBECONFIG"
    return CredentialsMissing(
        f"ENGINE=argo cannot connect to a cluster by {source} "
        f"({' '.join(str(error).split())}); run the scheduler in the cluster, set KUBECONFIG "
        "to a file that works with kubectl, or set ENGINE=local."
    )
