"""The watch that wakes the loop, against a real HTTP server: what wakes, how it resumes."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.testbed.system import wait_for
from scheduler.engines.argo.engine import ArgoEngine
from tests.unit.scheduler.engines.api_server import Answer, ApiServer, Reset, Said, Silence, status
from tests.unit.scheduler.engines.argo_shapes import make_workflow

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/gpuq/workflows"
PENDING = make_workflow("Running", node={"phase": "Pending", "message": "ContainerCreating"})
RUNNING = make_workflow("Running", node={"phase": "Running"})
HELD = Said(lines=[], hold=True)


class Stopping(threading.Event):
    """Remembers the pauses of the watch between two tries, and shortens them."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        if threading.current_thread().name == "argo-watch" and not self.is_set():
            self.pauses.append(timeout or 0)
        return super().wait(0.01)


class Watch:
    """A watch in a thread; `wakes` counts how often it woke the loop."""

    def __init__(self, server: ApiServer) -> None:
        self.engine = ArgoEngine.connect("gpuq", str(server.kubeconfig))
        self.wakes, self.stopping = 0, Stopping()
        self.thread = threading.Thread(target=self.engine.watch, args=(self._wake, self.stopping))

    def _wake(self) -> None:
        self.wakes += 1

    def end(self) -> None:
        self.stopping.set()
        self.thread.join(10)
        assert not self.thread.is_alive()
        assert not [thread for thread in threading.enumerate() if thread.name == "argo-watch"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path)
    yield server
    server.end()


@pytest.fixture
def start(server: ApiServer) -> Iterator[Callable[..., Watch]]:
    started = []

    def start(*answers: Answer) -> Watch:
        server.on("GET", WORKFLOWS, *answers)
        started.append(Watch(server))
        started[-1].thread.start()
        return started[-1]

    yield start
    for watch in started:
        watch.end()


def event(kind: str, obj: dict[str, Any], version: str = "7") -> dict[str, Any]:
    return {
        "type": kind,
        "object": {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}},
    }


def until_asked(server: ApiServer, count: int) -> None:
    wait_for(f"{count} requests", lambda: len(server.requests) >= count)


def test_it_ends_at_once_although_the_server_is_silent(
    server: ApiServer, start: Callable[..., Watch]
) -> None:
    watch = start(HELD)
    until_asked(server, 1)
    watch.end()
    assert watch.wakes == 0


def test_only_relevant_changes_wake_the_loop(
    server: ApiServer, start: Callable[..., Watch]
) -> None:
    progress = {**RUNNING, "status": {**RUNNING["status"], "progress": "1/2"}}
    lines = [
        event("ADDED", make_workflow()),  # ours, made just now
        event("MODIFIED", PENDING),  # 1
        event("MODIFIED", RUNNING),  # 2
        event("MODIFIED", progress),
        {"type": "BOOKMARK", "object": {"kind": "Workflow", "metadata": {"resourceVersion": "20"}}},
        event("DELETED", RUNNING),  # 3
    ]
    watch = start(Said(lines=lines), HELD)
    until_asked(server, 2)
    assert watch.wakes == 3


def test_a_watch_resumes_from_its_last_version(
    server: ApiServer, start: Callable[..., Watch]
) -> None:
    bookmark = {
        "type": "BOOKMARK",
        "object": {"kind": "Workflow", "metadata": {"resourceVersion": "20"}},
    }
    start(Said(lines=[event("ADDED", RUNNING, "11")]), Said(lines=[bookmark]), HELD)
    until_asked(server, 3)
    assert [request.query.get("resourceVersion") for request in server.requests] == [
        None,
        "11",
        "20",
    ]
    query = server.requests[0].query
    assert (query["watch"], query["allowWatchBookmarks"]) == ("1", "true")
    assert int(query["timeoutSeconds"]) > 60
    assert query["labelSelector"].endswith("workflows.argoproj.io/completed!=true")


def test_a_watch_begins_at_the_version_of_the_last_list(server: ApiServer) -> None:
    server.on("GET", WORKFLOWS, Said({"metadata": {"resourceVersion": "9"}, "items": []}), HELD)
    watch = Watch(server)
    watch.engine.workflows()
    watch.thread.start()
    until_asked(server, 2)
    watch.end()
    assert server.requests[1].query["resourceVersion"] == "9"


@pytest.mark.parametrize(
    "gone",
    [
        status(410, "Expired", "too old resource version"),
        Said(
            lines=[
                {
                    "type": "ERROR",
                    "object": {
                        "kind": "Status",
                        "code": 410,
                        "message": "too old",
                        "reason": "Gone",
                    },
                }
            ]
        ),
    ],
)
def test_a_version_that_the_server_has_forgotten_wakes_the_loop(
    server: ApiServer, start: Callable[..., Watch], gone: Answer
) -> None:
    watch = start(Said(lines=[event("ADDED", make_workflow(), "11")]), gone, HELD)
    until_asked(server, 3)
    assert [request.query.get("resourceVersion") for request in server.requests] == [
        None,
        "11",
        None,
    ]
    assert watch.wakes == 1  # nobody knows what happened in between


@pytest.mark.parametrize(
    "broken",
    [
        Reset(),
        Said(lines=[]),
        Said(lines=['{"type": "MOD']),
        Said(lines=["[]"]),
        Said(lines=[event("ADDED", RUNNING)]),
        status(403, "Forbidden", "cannot watch"),
        status(500, "InternalError", "x"),
        Said(lines=[{"type": "ERROR", "object": {"code": 500, "message": "etcd event received"}}]),
    ],
)
def test_failing_watches_are_retried_with_pauses(
    server: ApiServer, start: Callable[..., Watch], broken: Answer
) -> None:
    watch = start(broken)
    until_asked(server, 9)
    watch.end()
    pauses = watch.stopping.pauses
    assert all(0.5 <= pause <= 60 for pause in pauses)
    assert pauses[7] >= 30  # 1, 2, 4, … and then 60 at most, each less up to a half


def test_it_ends_although_the_server_does_not_answer_at_all(server: ApiServer) -> None:
    server.on("GET", WORKFLOWS, Silence())
    watch = Watch(server)
    watch.thread.start()
    until_asked(server, 1)
    watch.stopping.set()
    watch.thread.join(10)
    assert not watch.thread.is_alive()
