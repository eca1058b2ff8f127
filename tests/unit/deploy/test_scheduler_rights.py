"""The scheduler's rights in deploy/ are the calls that its Argo engine makes, and no others."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.testbed.fakes import FakeClock, make_job
from devtools.testbed.system import wait_for
from scheduler.clocks import Clocks
from scheduler.engines.argo.engine import ArgoEngine
from scheduler.engines.contract import Placement
from tests.unit.deploy.manifests import find
from tests.unit.scheduler.engines.api_server import ApiServer, Request, Said
from tests.unit.scheduler.engines.argo_shapes import (
    NAME,
    POD,
    TEMPLATE,
    make_pod,
    make_workflow,
    terminated,
    waiting,
)
from workflows.render import render

CORE = "/api/v1/namespaces/gpuq"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/gpuq/workflows"
WORKFLOW, CONFIG_MAP = f"{WORKFLOWS}/{NAME}", f"{CORE}/configmaps/{NAME}"
PLACE = re.compile(
    r"/apis?/(?:(?P<group>[^/]+\.[^/]+)/)?[^/]+/(?:namespaces/[^/]+/)?"
    r"(?P<kind>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>[^/]+))?"
)
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
ONE = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
Right = tuple[str, str, str]


def right_of(request: Request) -> Right:
    """Return (API group, resource, verb), by which RBAC decides on a request."""
    found = PLACE.fullmatch(request.path)
    assert found is not None, request.path
    verb = ONE[request.method]
    if verb == "get" and not found["name"]:
        verb = "watch" if "watch" in request.query else "list"
    resource = f"{found['kind']}/{found['part']}" if found["part"] else found["kind"]
    return found["group"] or "", resource, verb


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path)
    metadata = {"name": NAME, "uid": "cm-1", "labels": {"gpuq/job-id": make_job().job_id}}
    config_map = {"metadata": metadata, "data": {"config": "another text\n"}}
    server.on("POST", f"{CORE}/configmaps", Said(config_map, 201))
    server.on("POST", WORKFLOWS, Said(make_workflow(), 201))
    for method in ("GET", "PATCH", "DELETE"):
        server.on(method, CONFIG_MAP, Said(config_map))
        server.on(method, WORKFLOW, Said(make_workflow()))
    server.on("GET", f"{CORE}/events", Said({"items": []}))
    server.on("GET", f"{CORE}/pods/{POD}/log", Said("one\n"))
    server.on("GET", "/api/v1/nodes/gpu-1", Said({"status": READY}))
    yield server
    server.end()


def show(server: ApiServer, phase: str, pod_phase: str, state: dict) -> None:
    """Let the server have one workflow with one pod."""
    workflow = make_workflow(phase, node={"phase": pod_phase, "message": "ContainerCreating"})
    listed = {"metadata": {"resourceVersion": "9", "continue": ""}, "items": [workflow]}
    server.on("GET", WORKFLOWS, Said(listed))
    server.on("GET", WORKFLOW, Said(workflow))
    server.on("GET", f"{CORE}/pods", Said({"items": [make_pod(pod_phase, state)]}))


def use_every_call(server: ApiServer) -> None:
    """Take a job through its life: created, pending, running, ended, stopped, deleted."""
    clock = FakeClock()
    clock.tick(200)  # the pod is old enough to be asked why it has not started
    engine = ArgoEngine.connect("gpuq", str(server.kubeconfig), clocks=Clocks(clock, clock))
    engine.create(render(TEMPLATE, make_job(), node="gpu-1"), "a: 1\n", Placement("gpu-1"))
    show(server, "Running", "Pending", waiting("ContainerCreating"))
    [pending] = engine.workflows()
    engine.config_text(pending)
    clock.tick(60)
    show(server, "Running", "Running", {"running": {}})
    engine.workflows()
    clock.tick(60)
    show(server, "Failed", "Failed", terminated(1))
    [ended] = engine.workflows()
    engine.get(NAME)
    engine.stop(ended)
    engine.delete(ended)
    engine.clear(NAME, ended.job_id)
    watch_once(server, engine)


def watch_once(server: ApiServer, engine: ArgoEngine) -> None:
    stopping = threading.Event()
    watch = threading.Thread(target=engine.watch, args=(lambda: None, stopping))
    watch.start()
    try:
        wait_for("a watch", lambda: any("watch" in one.query for one in server.requests))
    finally:
        stopping.set()
        watch.join(10)
    assert not watch.is_alive()


def test_the_rights_are_the_calls(server: ApiServer) -> None:
    use_every_call(server)
    rules = find("Role", "scheduler")["rules"] + find("ClusterRole", "gpuq-scheduler")["rules"]
    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {right_of(request) for request in server.requests} == granted
