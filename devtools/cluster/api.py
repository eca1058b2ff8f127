"""This module is a small client of the API server: as much of kubectl as the tests need."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
import yaml

TIMEOUT_S = 20
Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused the call; `status` is the HTTP status, the text its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} ({status})")
        self.status = status


class Api:
    """This client calls the API server of a kubeconfig, with its certificate or token."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
        context = next(
            item for item in config["contexts"] if item["name"] == config["current-context"]
        )["context"]
        cluster = next(item for item in config["clusters"] if item["name"] == context["cluster"])[
            "cluster"
        ]
        user = next(item for item in config["users"] if item["name"] == context["user"])["user"]
        self.url: str = cluster["server"]
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or a bundle of the machine has no say here
        self.ca: str = cluster["certificate-authority"]
        self._session.verify = self.ca
        if "token" in user:
            self._session.headers["Authorization"] = f"Bearer {user['token']}"
        else:
            self._session.cert = (user["client-certificate"], user["client-key"])
        self._plurals: dict[tuple[str, str], tuple[str, bool]] = {}

    # -- paths as they are -------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any:
        """Make one call; return the JSON of the answer, or its text. Raises ApiError."""
        answer = self._session.request(
            method,
            self.url + path,
            params=query,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": kind},
            timeout=TIMEOUT_S,
        )
        if not answer.ok:
            raise ApiError(answer.status_code, _message(answer))
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.text

    def watch(self, path: str) -> requests.Response:
        """Open a watch, whose lines are events; it has no end."""
        query = {"watch": "1"}
        return self._session.get(
            f"{self.url}{path}", params=query, stream=True, timeout=(TIMEOUT_S, None)
        )

    def get(self, path: str, **query: str) -> Any:
        return self.request("GET", path, **query)

    def find(self, path: str) -> Any:
        """Return the object at `path`; None if there is none."""
        try:
            return self.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def items(self, path: str, **query: str) -> list[Object]:
        return list(self.get(path, **query)["items"])

    def post(self, path: str, body: Object, **query: str) -> Object:
        return dict(self.request("POST", path, body, **query))

    def patch(self, path: str, body: Object, kind: str = "merge-patch") -> Object:
        return dict(self.request("PATCH", path, body, f"application/{kind}+json"))

    def delete(self, path: str, **options: Any) -> None:
        self.request("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    # -- objects by their kind ---------------------------------------------------------------------

    def path(self, obj: Object) -> str:
        """Return the path of an object."""
        plural, namespaced = self._resource(obj["apiVersion"], obj["kind"])
        scope = f"/namespaces/{obj['metadata'].get('namespace', 'default')}" if namespaced else ""
        return f"{_root(obj['apiVersion'])}{scope}/{plural}/{obj['metadata']['name']}"

    def apply(self, obj: Object, *, dry_run: bool = False, manager: str = "kubectl") -> Object:
        """Server-side apply; a field that the API server does not know is an error."""
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        return dict(
            self.request("PATCH", self.path(obj), obj, "application/apply-patch+yaml", **query)
        )

    def apply_all(self, objects: list[Object]) -> list[Object]:
        return [self.apply(obj) for obj in objects]

    def may(
        self, verb: str, resource: str, namespace: str = "", group: str = "", name: str = ""
    ) -> bool:
        """Return whether this client may do so (SelfSubjectAccessReview), also for `pods/log`."""
        kind, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "resource": kind, "subresource": subresource, "group": group}
        attributes |= {"namespace": namespace, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    def _resource(self, version: str, kind: str) -> tuple[str, bool]:
        if (version, kind) not in self._plurals:
            for found in self.get(_root(version))["resources"]:
                if "/" not in found["name"]:
                    self._plurals[version, found["kind"]] = (found["name"], found["namespaced"])
        if (version, kind) not in self._plurals:
            raise ApiError(404, f"The API server knows no {kind} of {version}.")
        return self._plurals[version, kind]


def until_served(api: Api, path: str) -> Callable[[], bool]:
    """Return a condition that holds if the API server answers this path."""

    def served() -> bool:
        try:
            api.get(path)
        except (requests.RequestException, ApiError):
            return False
        return True

    return served


def write_kubeconfig(path: Path, url: str, ca: Path, user: dict[str, str]) -> Path:
    """Write a kubeconfig with one context.

    `user` is `{token: …}` or `{client-certificate: …, client-key: …}`.
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [
            {"name": "tests", "cluster": {"server": url, "certificate-authority": str(ca)}}
        ],
        "users": [{"name": "tests", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _message(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
