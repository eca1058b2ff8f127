"""The Argo engine against a real HTTP server: its calls, and what failing answers mean."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devtools.testbed.fakes import FakeClock, make_job
from scheduler.clocks import Clocks
from scheduler.engines.argo.connection import CredentialsMissing
from scheduler.engines.argo.engine import ArgoEngine
from scheduler.engines.contract import (
    EndedBy,
    EngineError,
    EngineForbidden,
    EngineUnavailable,
    Obstacle,
    Placement,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowPhase,
    WorkflowRefused,
    WorkflowRejected,
)
from tests.unit.scheduler.engines.api_server import (
    Answer,
    ApiServer,
    Reset,
    Said,
    Silence,
    absent,
    status,
)
from tests.unit.scheduler.engines.argo_shapes import (
    BEGAN,
    NAME,
    POD,
    TEMPLATE,
    UID,
    make_pod,
    make_workflow,
    running,
    terminated,
    waiting,
)
from workflows.render import render

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/gpuq/workflows"
CONFIG_MAPS = "/api/v1/namespaces/gpuq/configmaps"
PODS = "/api/v1/namespaces/gpuq/pods"
WORKFLOW, CONFIG_MAP = f"{WORKFLOWS}/{NAME}", f"{CONFIG_MAPS}/{NAME}"
LATER = 200.0
_FORBIDDEN = f'workflows.argoproj.io "{NAME}" is forbidden:'
FORBIDDEN = f'{_FORBIDDEN} User "system:serviceaccount:gpuq:scheduler" cannot'
DENIED = f"{_FORBIDDEN} ValidatingAdmissionPolicy 'p' with binding 'b' denied request"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path)
    yield server
    server.end()


@pytest.fixture
def clock() -> FakeClock:
    clock = FakeClock()
    clock.tick(LATER)
    return clock


@pytest.fixture
def engine(server: ApiServer, clock: FakeClock) -> ArgoEngine:
    return connect(server, clock)


def connect(server: ApiServer, clock: FakeClock, **options: Any) -> ArgoEngine:
    options = {"clocks": Clocks(clock, clock), "request_timeout_s": 0.3, **options}
    return ArgoEngine.connect("gpuq", str(server.kubeconfig), **options)


def create(engine: ArgoEngine) -> str:
    return engine.create(render(TEMPLATE, make_job(), node="gpu-1"), "a: 1\n", Placement("gpu-1"))


def listed(*workflows: dict[str, Any], token: str = "") -> Said:
    return Said({"metadata": {"resourceVersion": "9", "continue": token}, "items": list(workflows)})


def config_map(**metadata: Any) -> dict[str, Any]:
    labels = {"gpuq/job-id": "ann_20261124120001"}
    return {
        "metadata": {"name": NAME, "uid": "cm-1", "labels": labels, **metadata},
        "data": {"config": "a: 1\n"},
    }


def serve_objects(
    server: ApiServer, *workflows: dict[str, Any], pod: dict[str, Any] | None = None
) -> None:
    """Serve a cluster that does not change: these workflows, one pod, a ready node, a log."""
    server.on("GET", WORKFLOWS, listed(*workflows))
    for workflow in workflows:
        server.on("GET", f"{WORKFLOWS}/{workflow['metadata']['name']}", Said(workflow))
    server.on("GET", PODS, Said({"items": [pod] if pod else []}))
    server.on("GET", f"{PODS}/{POD}/log", Said("one\n\ntwo\n"))
    server.on("GET", "/api/v1/nodes/gpu-1", node())


def renamed(name: str) -> dict[str, Any]:
    return {**make_workflow()["metadata"], "name": name, "uid": f"uid of {name}"}


def node(ready: str = "True") -> Said:
    return Said({"status": {"conditions": [{"type": "Ready", "status": ready}]}})


class TestCreate:
    def serve(self, server: ApiServer) -> None:
        server.on("POST", CONFIG_MAPS, Said(config_map(), 201))
        server.on("POST", WORKFLOWS, Said(make_workflow(), 201))
        server.on("PATCH", CONFIG_MAP, Said(config_map()))
        server.on("DELETE", CONFIG_MAP, Said({"kind": "Status"}))
        server.on("GET", WORKFLOW, absent(NAME))

    def test_a_create_takes_three_calls(self, server: ApiServer, engine: ArgoEngine) -> None:
        self.serve(server)
        assert create(engine) == UID
        made, workflow, tied = server.requests
        assert server.calls() == ["POST configmaps", "POST workflows", f"PATCH configmaps/{NAME}"]
        assert made.body["data"] == {"config": "a: 1\n"}
        assert made.body["immutable"] is True
        assert made.body["metadata"]["labels"] == workflow.body["metadata"]["labels"]
        owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": NAME, "uid": UID}
        assert tied.body == {"metadata": {"ownerReferences": [owner]}}
        assert tied.headers["content-type"] == "application/merge-patch+json"
        assert workflow.headers["authorization"] == "Bearer token-1"

    @pytest.mark.parametrize(
        ("said", "meant", "words"),
        [
            (status(400, "BadRequest", "unknown field"), WorkflowRejected, "unknown field"),
            (
                status(422, "Invalid", "spec.entrypoint: Required"),
                WorkflowRejected,
                "spec.entrypoint: Required",
            ),
            (status(413, "RequestEntityTooLarge", "too large"), WorkflowRejected, "too large"),
            (
                status(403, "Forbidden", 'admission webhook "x" denied the request: no'),
                WorkflowRejected,
                'admission webhook "x" denied the request: no',
            ),
            (
                status(403, "Forbidden", "cannot create resource"),
                EngineForbidden,
                "kubectl apply -k deploy/",
            ),
            (
                status(403, "Forbidden", "exceeded quota: gpus"),
                WorkflowNotMade,
                "exceeded quota: gpus",
            ),
            (
                status(404, "NotFound", 'namespaces "gpuq" not found', "gpuq"),
                EngineForbidden,
                "namespace or Argo",
            ),
            (Said("404 page not found", 404), EngineForbidden, "404 page not found"),
            (
                status(409, "Conflict", "resourcequotas was changed"),
                WorkflowNotMade,
                "resourcequotas was changed",
            ),
            (status(429, "TooManyRequests", "slow down"), WorkflowNotMade, "slow down"),
            (
                status(500, "InternalError", 'failed calling webhook "x"'),
                WorkflowNotMade,
                "failed calling webhook",
            ),
            (status(503, "ServiceUnavailable", "not ready"), WorkflowNotMade, "not ready"),
            (
                status(500, "InternalError", "etcdserver: request timed out"),
                EngineUnavailable,
                "timed out",
            ),
            (status(504, "Timeout", "did not complete"), EngineUnavailable, "did not complete"),
            (Said("<html>502 Bad Gateway</html>", 502), EngineUnavailable, "502 Bad Gateway"),
            (Said("Service Unavailable", 503), EngineUnavailable, "Service Unavailable"),
            (Said(make_workflow(), 201, cut=20), EngineUnavailable, "is not responding"),
            (Said("[1", 201), EngineUnavailable, "not JSON, or was cut off"),
            (Said("[1]", 201), EngineUnavailable, "is not an object"),
            (Reset(), EngineUnavailable, "is not responding"),
            (Silence(), EngineUnavailable, "timed out"),
        ],
    )
    def test_what_each_failure_of_a_create_means(
        self,
        server: ApiServer,
        engine: ArgoEngine,
        said: Answer,
        meant: type[EngineError],
        words: str,
    ) -> None:
        self.serve(server)
        server.on("POST", WORKFLOWS, said)
        with pytest.raises(meant, match=words.replace("(", r"\(")) as raised:
            create(engine)
        assert type(raised.value) is meant
        # What is certain is tidied up; what may be there keeps its config.
        assert (f"DELETE configmaps/{NAME}" in server.calls()) is (meant is not EngineUnavailable)
        assert server.calls().count("POST workflows") == 1

    @pytest.mark.parametrize(
        "said",
        [
            status(429, "TooManyRequests", "slow down"),
            status(403, "Forbidden", "exceeded quota: gpus"),
        ],
    )
    def test_the_config_of_a_workflow_that_another_leader_has_created_stays(
        self, server: ApiServer, engine: ArgoEngine, said: Said
    ) -> None:
        self.serve(server)
        server.on("POST", WORKFLOWS, said)
        server.on("GET", WORKFLOW, Said(make_workflow()))
        with pytest.raises(WorkflowNotMade):
            create(engine)
        assert server.calls()[-1] == f"GET workflows/{NAME}"

    @pytest.mark.parametrize("path", [CONFIG_MAPS, WORKFLOWS])
    def test_retry_after_of_a_create(
        self, server: ApiServer, engine: ArgoEngine, path: str
    ) -> None:
        self.serve(server)
        server.on(
            "POST",
            path,
            Said(status(429, "TooManyRequests", "slow down").body, 429, {"Retry-After": "7"}),
        )
        with pytest.raises(WorkflowNotMade) as raised:
            create(engine)
        assert raised.value.retry_after_s == 7

    def test_an_unreachable_api_server_has_created_nothing(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        server.end()
        with pytest.raises(WorkflowNotMade, match="cannot be reached"):
            create(engine)

    @pytest.mark.parametrize(
        "said", [Silence(), Reset(), status(500, "InternalError", "etcdserver: leader changed")]
    )
    def test_if_the_config_maps_result_is_unknown_no_workflow_was_created(
        self, server: ApiServer, engine: ArgoEngine, said: Answer
    ) -> None:
        server.on("POST", CONFIG_MAPS, said)
        with pytest.raises(WorkflowNotMade):
            create(engine)
        assert server.calls() == ["POST configmaps"]

    def test_a_refused_config_map_rejects_the_workflow(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        server.on("POST", CONFIG_MAPS, status(413, "RequestEntityTooLarge", "too large"))
        with pytest.raises(WorkflowRejected, match="too large"):
            create(engine)

    def test_a_config_map_that_gets_no_owner_does_not_fail_the_create(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        self.serve(server)
        server.on("PATCH", CONFIG_MAP, status(500, "InternalError", "x"))
        assert create(engine) == UID


class TestCreateWhereTheNameIsTaken:
    TAKEN = status(409, "AlreadyExists", "already exists")

    def serve(self, server: ApiServer, workflow: Answer, config: Answer) -> None:
        server.on("POST", CONFIG_MAPS, self.TAKEN, Said(config_map(uid="cm-2"), 201))
        server.on("GET", WORKFLOW, workflow)
        server.on("GET", CONFIG_MAP, config)
        server.on("DELETE", CONFIG_MAP, Said({"kind": "Status"}))
        server.on("POST", WORKFLOWS, Said(make_workflow(), 201))
        server.on("PATCH", CONFIG_MAP, Said(config_map()))

    def test_an_existing_workflow_keeps_its_config(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        self.serve(server, Said(make_workflow()), Said(config_map()))
        with pytest.raises(WorkflowExists):
            create(engine)
        assert server.calls() == ["POST configmaps", f"GET workflows/{NAME}"]

    def test_a_config_map_left_by_a_crash_is_used(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        self.serve(server, absent(NAME), Said(config_map()))
        assert create(engine) == UID
        assert server.calls()[2:] == [
            f"GET configmaps/{NAME}",
            "POST workflows",
            f"PATCH configmaps/{NAME}",
        ]

    @pytest.mark.parametrize(
        "left",
        [
            config_map(ownerReferences=[{"uid": "gone"}]),
            config_map() | {"data": {"config": "a: 2\n"}},
        ],
    )
    def test_a_config_map_with_an_owner_or_another_text_is_replaced(
        self, server: ApiServer, engine: ArgoEngine, left: dict[str, Any]
    ) -> None:
        self.serve(server, absent(NAME), Said(left))
        assert create(engine) == UID
        deleted = next(request for request in server.requests if request.method == "DELETE")
        assert deleted.body["preconditions"] == {"uid": "cm-1"}
        assert server.calls()[3:5] == [f"DELETE configmaps/{NAME}", "POST configmaps"]

    def test_a_config_map_of_another_job_is_left_alone(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        self.serve(server, absent(NAME), Said(config_map(labels={})))
        with pytest.raises(WorkflowExists, match="does not belong to this job"):
            create(engine)
        assert "POST workflows" not in server.calls()

    def test_an_unmanaged_workflow_is_left_alone_and_no_config_map_stays_behind(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        stranger = make_workflow()
        stranger["metadata"]["labels"] = {}
        self.serve(server, Said(stranger), Said(config_map()))
        server.on("POST", CONFIG_MAPS, Said(config_map(), 201))
        server.on("POST", WORKFLOWS, self.TAKEN)
        with pytest.raises(WorkflowExists):
            create(engine)
        assert server.calls()[-1] == f"DELETE configmaps/{NAME}"

    def test_a_workflow_just_created_by_another_scheduler_keeps_its_config(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        self.serve(server, Said(make_workflow()), Said(config_map()))
        server.on("POST", CONFIG_MAPS, Said(config_map(), 201))
        server.on("POST", WORKFLOWS, self.TAKEN)
        with pytest.raises(WorkflowExists):
            create(engine)
        assert f"DELETE configmaps/{NAME}" not in server.calls()


class TestGet:
    def test_none_only_if_the_server_says_that_it_does_not_exist(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        server.on("GET", WORKFLOW, absent(NAME))
        assert engine.get(NAME) is None

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            (Said("404 page not found", 404), EngineForbidden),
            (
                status(404, "NotFound", "the server could not find the requested resource"),
                EngineForbidden,
            ),
            (status(403, "Forbidden", f"{FORBIDDEN} get resource"), EngineForbidden),
            (Said("<html>a proxy's no</html>", 403), EngineForbidden),
            (
                status(403, "Forbidden", f'"{NAME}" is forbidden: not this one', NAME),
                WorkflowRefused,
            ),
            (status(500, "InternalError", "x"), EngineUnavailable),
            (Said(make_workflow(), cut=9), EngineUnavailable),
            (Reset(), EngineUnavailable),
            (Silence(), EngineUnavailable),
        ],
    )
    def test_an_error_if_it_is_not_known_whether_it_exists(
        self, server: ApiServer, engine: ArgoEngine, said: Answer, meant: type[EngineError]
    ) -> None:
        server.on("GET", WORKFLOW, said)
        with pytest.raises(meant):
            engine.get(NAME)
        assert len(server.requests) == 1  # and no hidden second try

    def test_an_unmanaged_workflow_has_no_job_id(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        stranger = make_workflow()
        stranger["metadata"] |= {"labels": {}, "annotations": {}}
        server.on("GET", WORKFLOW, Said(stranger))
        seen = engine.get(NAME)
        assert seen is not None
        assert seen.job_id == ""

    def test_retry_after(self, server: ApiServer, engine: ArgoEngine) -> None:
        said = status(429, "TooManyRequests", "slow down")
        server.on("GET", WORKFLOW, Said(said.body, 429, {"Retry-After": "7"}))
        with pytest.raises(EngineUnavailable) as raised:
            engine.get(NAME)
        assert raised.value.retry_after_s == 7


class TestCredentials:
    def test_a_401_reads_the_credentials_again_once(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        server.write_kubeconfig("token-2")
        server.on("GET", WORKFLOW, status(401, "Unauthorized", "Unauthorized"), absent(NAME))
        assert engine.get(NAME) is None
        assert [request.headers["authorization"] for request in server.requests] == [
            "Bearer token-1",
            "Bearer token-2",
        ]

    def test_a_second_401_needs_an_admin(self, server: ApiServer, engine: ArgoEngine) -> None:
        server.on("GET", WORKFLOW, status(401, "Unauthorized", "Unauthorized"))
        with pytest.raises(EngineForbidden, match="does not accept the scheduler's credentials"):
            engine.get(NAME)
        assert len(server.requests) == 2

    def test_credentials_that_are_gone_need_an_admin(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        server.on("GET", WORKFLOW, status(401, "Unauthorized", "Unauthorized"))
        server.kubeconfig.unlink()
        with pytest.raises(EngineForbidden, match="cannot connect to a cluster"):
            engine.get(NAME)

    @pytest.mark.parametrize("text", [None, "", "[", "{}", "clusters: 3"])
    def test_an_unusable_kubeconfig_is_one_sentence(self, tmp_path: Path, text: str | None) -> None:
        path = tmp_path / "kubeconfig"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with pytest.raises(CredentialsMissing) as raised:
            ArgoEngine.connect("gpuq", str(path))
        assert str(raised.value).count("\n") == 0
        assert "set KUBECONFIG to a file that works with kubectl" in str(raised.value)

    def test_a_pod_without_its_token_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        with pytest.raises(CredentialsMissing, match="by the pod's ServiceAccount token"):
            ArgoEngine.connect("gpuq")

    def test_outside_the_cluster_kubeconfig_is_used(
        self, server: ApiServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        server.on("GET", WORKFLOW, absent(NAME))
        assert ArgoEngine.connect("gpuq").get(NAME) is None

    def test_the_scheduler_refuses_to_start_without_credentials(self, tmp_path: Path) -> None:
        left_out = ("ENGINE", "KUBERNETES_SERVICE_HOST")
        env = {name: value for name, value in os.environ.items() if name not in left_out}
        env["KUBECONFIG"] = str(tmp_path / "none")
        command = [sys.executable, "-m", "scheduler"]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 2
        assert ended.stderr.startswith("ENGINE=argo cannot connect to a cluster by KUBECONFIG")
        assert ended.stderr.count("\n") == 1


class TestWorkflows:
    def test_a_cycle_makes_one_list_call_for_the_workflows_that_are_not_completed(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        said = {"phase": "Pending", "message": "ErrImagePull: x", "host": None}
        serve_objects(server, make_workflow("Running", node=said))
        for _ in range(3):
            [seen] = engine.workflows()
            assert (seen.phase, seen.message) == (WorkflowPhase.PENDING, "ErrImagePull: x")
        assert server.calls() == ["GET workflows"] * 3
        selectors = [request.query["labelSelector"] for request in server.requests]
        assert selectors[0] == "app.kubernetes.io/part-of=gpuq,gpuq/job-id"
        assert selectors[1] == f"{selectors[0]},workflows.argoproj.io/completed!=true"

    def test_a_list_is_read_page_by_page(self, server: ApiServer, engine: ArgoEngine) -> None:
        second = make_workflow("Running")
        second["metadata"]["name"] = "other"
        server.on("GET", WORKFLOWS, listed(make_workflow("Running"), token="more"), listed(second))
        assert [seen.name for seen in engine.workflows()] == [NAME, "other"]
        assert [request.query.get("continue") for request in server.requests] == [None, "more"]

    def test_a_page_that_has_expired_starts_the_list_again(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        gone = status(410, "Expired", "The provided continue parameter is too old")
        server.on(
            "GET",
            WORKFLOWS,
            listed(make_workflow("Running"), token="old"),
            gone,
            listed(make_workflow("Running")),
        )
        assert [seen.name for seen in engine.workflows()] == [NAME]
        assert [request.query.get("continue") for request in server.requests] == [None, "old", None]

    def test_a_list_that_keeps_expiring_is_an_error(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        server.on("GET", WORKFLOWS, status(410, "Expired", "too old"))
        with pytest.raises(EngineUnavailable, match="too old"):
            engine.workflows()
        assert len(server.requests) == 3

    @pytest.mark.parametrize(
        "said", [Said({}), Said({"items": None}), listed(make_workflow(), token="x")]
    )
    def test_an_incomplete_list_is_an_error(
        self, server: ApiServer, engine: ArgoEngine, said: Said
    ) -> None:
        server.on("GET", WORKFLOWS, said, Said({"kind": "Odd"}))
        with pytest.raises(EngineUnavailable):
            engine.workflows()

    def test_a_malformed_object_does_not_hide_the_others(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        odd = {"metadata": {"name": "odd", "labels": 3}, "spec": [], "status": "x"}
        server.on("GET", WORKFLOWS, listed(odd, {"metadata": None}, make_workflow("Running")))
        assert [seen.name for seen in engine.workflows()] == [NAME]

    def test_a_workflow_takes_six_calls_besides_the_lists(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        serve_objects(server)
        clock.tick(5 - LATER)
        engine.workflows()
        TestCreate().serve(server)
        create(engine)
        lists = 0
        for phase in ("Pending", "Running"):
            serve_objects(
                server,
                make_workflow("Running", node={"phase": phase, "message": "ContainerCreating"}),
            )
            lists += len(engine.workflows())
        over = make_workflow("Succeeded", node={"phase": "Succeeded", "exit_code": 0})
        serve_objects(server, over, pod=make_pod("Succeeded", terminated(0)))
        server.on("GET", WORKFLOWS, listed())  # labelled as completed: no more among the open ones
        for _ in range(3):
            [seen] = engine.workflows()
            assert (seen.phase, seen.started_at, seen.log_tail) == (
                WorkflowPhase.SUCCEEDED,
                BEGAN,
                ("one", "two"),
            )
            lists += 1
        assert len(server.requests) - lists - 1 == 6

    def test_a_workflow_that_was_deleted_manually_is_gone(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        serve_objects(server, make_workflow("Running"))
        engine.workflows()
        server.on("GET", WORKFLOWS, listed())
        server.on("GET", WORKFLOW, absent(NAME))
        assert engine.workflows() == []

    def test_a_workflow_that_alone_is_refused_stays_as_it_was_last_seen(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        serve_objects(server, make_workflow("Running"))
        before = engine.workflows()
        server.on("GET", WORKFLOWS, listed())
        server.on("GET", WORKFLOW, status(403, "Forbidden", DENIED, NAME))
        assert engine.workflows() == before
        server.on("GET", WORKFLOW, status(403, "Forbidden", f"{FORBIDDEN} get resource", NAME))
        with pytest.raises(EngineForbidden):
            engine.workflows()

    def test_signs_of_life_during_a_long_check(self, server: ApiServer, engine: ArgoEngine) -> None:
        beats: list[int] = []
        serve_objects(
            server,
            make_workflow("Succeeded"),
            make_workflow("Running") | {"metadata": renamed("other")},
        )
        engine.keep_alive = lambda: beats.append(len(server.requests))
        engine.workflows()
        assert beats[0] == 0
        assert max(beats) > 0
        assert len(beats) >= 3  # before the list, and at each workflow that is looked at

    def test_a_workflow_without_its_labels_is_known_by_its_uid(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        serve_objects(server, make_workflow("Running"))
        engine.workflows()
        bare = make_workflow("Running")
        bare["metadata"] |= {"labels": None, "annotations": None}
        server.on("GET", WORKFLOWS, listed())
        server.on("GET", WORKFLOW, Said(bare))
        [seen] = engine.workflows()
        assert (seen.job_id, seen.attempt) == ("ann_20261124120001", 1)

    def test_a_finished_workflow_that_a_person_retries_is_live_again(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        serve_objects(
            server,
            make_workflow(
                "Failed", node={"phase": "Failed", "message": "main: Error (exit code 1)"}
            ),
        )
        assert not engine.workflows()[0].is_live
        serve_objects(server, make_workflow("Running", node={"phase": "Running"}))
        assert engine.workflows()[0].is_live

    def test_a_workflow_has_ended_only_when_its_pod_has(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        stopped = {"phase": "Failed", "message": "workflow shutdown with strategy:  Stop"}
        workflow = make_workflow("Failed", node=stopped, spec={"shutdown": "Stop"})
        serve_objects(server, workflow, pod=make_pod("Running", running()))
        assert engine.workflows()[0].phase is WorkflowPhase.RUNNING
        serve_objects(server, workflow, pod=make_pod("Running", terminated(143)))
        server.on("GET", WORKFLOWS, listed())
        [seen] = engine.workflows()
        assert (seen.phase, seen.ended_by, seen.exit_code) == (
            WorkflowPhase.FAILED,
            EndedBy.STOP,
            143,
        )

    def test_a_pod_of_an_earlier_workflow_of_that_name_does_not_count(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        over = make_workflow("Succeeded", node={"phase": "Succeeded", "exit_code": 0})
        serve_objects(server, over, pod=make_pod("Running", running(), uid="another life"))
        assert engine.workflows()[0].phase is WorkflowPhase.SUCCEEDED

    def test_only_the_newest_that_ended_unseen_are_checked_closely(
        self, server: ApiServer, clock: FakeClock
    ) -> None:
        """After a restart only the newest are checked closely, not a thousand workflows."""
        many = []
        for number in range(100):
            workflow = make_workflow(
                "Failed", node={"phase": "Failed", "message": "main: Error (exit code 1)"}
            )
            workflow["metadata"] |= {"name": f"{NAME}-r{number}", "uid": f"uid-{number}"}
            workflow["status"]["finishedAt"] = f"2026-11-24T12:{number // 60:02}:{number % 60:02}Z"
            many.append(workflow)
        serve_objects(server, *many, pod=make_pod("Failed", terminated(1), uid="uid-99"))
        engine = connect(server, clock)
        by_name = {seen.name: seen for seen in engine.workflows()}
        assert len(by_name) == 100
        assert by_name[f"{NAME}-r99"].log_tail == ("one", "two")
        assert server.calls().count("GET pods") == 32
        clock.tick(601)  # everything is listed again, and nothing looked at again
        assert len(engine.workflows()) == 100
        assert server.calls().count("GET pods") == 32

    def test_finished_workflows_that_are_gone_are_forgotten(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        serve_objects(server, make_workflow("Succeeded"))
        assert len(engine.workflows()) == 1
        serve_objects(server)
        clock.tick(601)
        assert engine.workflows() == []

    def test_a_log_that_cannot_be_read_does_not_delay_the_end(
        self, server: ApiServer, engine: ArgoEngine
    ) -> None:
        over = make_workflow(
            "Failed", node={"phase": "Failed", "message": "main: Error (exit code 1)"}
        )
        serve_objects(server, over, pod=make_pod("Failed", terminated(1)))
        server.on(
            "GET", f"{PODS}/{POD}/log", status(500, "InternalError", "dial tcp: no route to host")
        )
        [seen] = engine.workflows()
        assert (seen.exit_code, seen.log_tail) == (1, ())
        assert server.calls().count(f"GET pods/{POD}/log") == 1

    def test_a_long_log_is_read_from_its_end(self, server: ApiServer, engine: ArgoEngine) -> None:
        over = make_workflow(
            "Failed", node={"phase": "Failed", "message": "main: Error (exit code 1)"}
        )
        serve_objects(server, over, pod=make_pod("Failed", terminated(1)))
        server.on(
            "GET",
            f"{PODS}/{POD}/log",
            Said("x" * 9000 + "\n" + "".join(f"line {n}\n" for n in range(30))),
        )
        assert engine.workflows()[0].log_tail == tuple(f"line {n}" for n in range(10, 30))
        assert server.requests[-1].query["container"] == "main"
        assert int(server.requests[-1].query["limitBytes"]) > 8192

    def test_a_missing_permission_is_named(self, server: ApiServer, engine: ArgoEngine) -> None:
        serve_objects(server, make_workflow("Succeeded"))
        server.on("GET", PODS, status(403, "Forbidden", "pods is forbidden: cannot list resource"))
        with pytest.raises(EngineForbidden, match="pods is forbidden"):
            engine.workflows()


class TestPendingPods:
    SILENT = {"phase": "Pending", "message": "ContainerCreating"}

    def test_a_pod_is_checked_if_argo_gives_no_reason_but_not_at_once(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        pod = make_pod("Pending", waiting("ContainerCreating"))
        serve_objects(server, make_workflow("Running", node=self.SILENT), pod=pod)
        events = [
            {"reason": "Old", "message": "x", "lastTimestamp": "2026-11-24T12:00:00Z"},
            {
                "reason": "FailedMount",
                "message": 'configmap "x" not found',
                "lastTimestamp": "2026-11-24T12:01:00Z",
            },
        ]
        server.on("GET", "/api/v1/namespaces/gpuq/events", Said({"items": events}))
        for _ in range(5):
            assert engine.workflows()[0].message == 'FailedMount: configmap "x" not found'
        assert server.calls().count("GET pods") == server.calls().count("GET events") == 1
        clock.tick(30)
        engine.workflows()
        assert server.calls().count("GET pods") == 2

    def test_a_pod_that_was_just_created_is_not_checked(
        self, server: ApiServer, clock: FakeClock
    ) -> None:
        serve_objects(server, make_workflow("Running", node=self.SILENT))
        clock.tick(-LATER + 5)
        assert connect(server, clock).workflows()[0].message == "ContainerCreating"
        assert "GET pods" not in server.calls()

    def test_a_request_by_name_checks_the_pod_at_once(
        self, server: ApiServer, clock: FakeClock
    ) -> None:
        """However young it is, and however recently it was checked."""
        pod = make_pod("Pending", waiting("CreateContainerError", "no such device"))
        serve_objects(server, make_workflow("Running", node=self.SILENT), pod=pod)
        clock.tick(-LATER + 5)
        engine = connect(server, clock)
        for _ in range(2):
            seen = engine.get(NAME)
            assert seen is not None
            assert seen.message == "CreateContainerError: no such device"
        assert server.calls().count("GET pods") == 2


class TestNodes:
    RUNS = {"phase": "Running"}

    @pytest.mark.parametrize(
        ("said", "lost"),
        [
            (node(), False),
            (node("Unknown"), True),
            (node("False"), True),
            (Said({"status": {}}), True),
            (status(404, "NotFound", 'nodes "gpu-1" not found', "gpu-1"), True),
        ],
    )
    def test_a_running_workflows_node_is_checked_now_and_then(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock, said: Said, lost: bool
    ) -> None:
        serve_objects(server, make_workflow("Running", node=self.RUNS))
        server.on("GET", "/api/v1/nodes/gpu-1", said)
        for _ in range(3):
            [seen] = engine.workflows()
            assert seen.phase is WorkflowPhase.RUNNING
            assert (seen.obstacle is Obstacle.NODE_LOST) is lost
        assert server.calls().count("GET /api/v1/nodes/gpu-1") == 1
        clock.tick(31)
        engine.workflows()
        assert server.calls().count("GET /api/v1/nodes/gpu-1") == 2

    def test_a_node_whose_monitor_answers_is_not_checked(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        serve_objects(server, make_workflow("Running", node=self.RUNS))
        for _ in range(3):
            engine.nodes_answering({"gpu-1"})
            [seen] = engine.workflows()
            assert seen.obstacle is Obstacle.NONE
            clock.tick(31)
        assert "GET /api/v1/nodes/gpu-1" not in server.calls()
        server.on("GET", "/api/v1/nodes/gpu-1", node("Unknown"))
        engine.nodes_answering({"gpu-2"})
        [seen] = engine.workflows()
        assert seen.obstacle is Obstacle.NODE_LOST

    def test_every_five_minutes_it_is_checked_all_the_same(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        """The kubelet may be down while the monitor answers; a lost node is checked again soon."""
        serve_objects(server, make_workflow("Running", node=self.RUNS))
        server.on("GET", "/api/v1/nodes/gpu-1", node("False"))
        clock.tick(301)
        for _ in range(3):
            engine.nodes_answering({"gpu-1"})
            assert engine.workflows()[0].obstacle is Obstacle.NODE_LOST
        assert server.calls().count("GET /api/v1/nodes/gpu-1") == 1
        server.on("GET", "/api/v1/nodes/gpu-1", node())
        clock.tick(31)
        engine.nodes_answering({"gpu-1"})
        assert engine.workflows()[0].obstacle is Obstacle.NONE

    def test_a_pod_that_is_not_scheduled_has_no_node_to_check(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        said = "Unschedulable: 0/1 nodes are available: 1 node(s) had untolerated taint(s)."
        serve_objects(
            server,
            make_workflow("Running", node={"phase": "Pending", "message": said, "host": None}),
        )
        [seen] = engine.workflows()
        assert (seen.phase, seen.node, seen.obstacle) == (
            WorkflowPhase.PENDING,
            "gpu-1",
            Obstacle.UNSCHEDULABLE,
        )
        assert (seen.obstacle, seen.message) == (Obstacle.UNSCHEDULABLE, said)

    def test_a_pod_that_was_deleted_on_a_lost_node_may_run(
        self, server: ApiServer, engine: ArgoEngine, clock: FakeClock
    ) -> None:
        workflow = make_workflow("Error", node={"phase": "Error", "message": "pod deleted"})
        serve_objects(server, workflow)
        server.on("GET", "/api/v1/nodes/gpu-1", node("Unknown"))
        [seen] = engine.workflows()
        assert (seen.is_live, seen.obstacle) == (True, Obstacle.NODE_LOST)
        server.on("GET", WORKFLOWS, listed())
        server.on("GET", "/api/v1/nodes/gpu-1", node())
        clock.tick(10)
        [seen] = engine.workflows()
        assert (seen.phase, seen.ended_by) == (WorkflowPhase.FAILED, EndedBy.EVICTION)


class TestStopAndDelete:
    @pytest.fixture
    def seen(self, server: ApiServer, engine: ArgoEngine) -> Any:
        serve_objects(server, make_workflow("Succeeded"))
        [seen] = engine.workflows()
        server.requests.clear()
        return seen

    def test_a_stop_ends_a_suspension_too(
        self, server: ApiServer, engine: ArgoEngine, seen: Any
    ) -> None:
        server.on("PATCH", WORKFLOW, Said(make_workflow()))
        engine.stop(seen)
        [request] = server.requests
        assert request.body == {
            "metadata": {"uid": UID},
            "spec": {"shutdown": "Stop", "suspend": None},
        }

    @pytest.mark.parametrize(
        "said",
        [
            absent(NAME),
            status(409, "Conflict", "uid"),
            status(422, "Invalid", "metadata.uid: is immutable"),
        ],
    )
    def test_a_stop_of_a_workflow_that_is_gone_does_nothing(
        self, server: ApiServer, engine: ArgoEngine, seen: Any, said: Said
    ) -> None:
        server.on("PATCH", WORKFLOW, said)
        engine.stop(seen)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("said", "meant"),
        [
            (
                status(
                    422, "Invalid", 'spec.uid: Invalid value: "x": in body must be of type integer'
                ),
                WorkflowRefused,
            ),
            (status(403, "Forbidden", DENIED, NAME), WorkflowRefused),
            (
                status(400, "BadRequest", 'admission webhook "x" denied the request: no'),
                WorkflowRefused,
            ),
            (status(403, "Forbidden", f"{FORBIDDEN} patch resource", NAME), EngineForbidden),
            (status(429, "TooManyRequests", "slow down"), EngineUnavailable),
        ],
    )
    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_a_refusal_of_one_object_is_not_an_outage(
        self,
        server: ApiServer,
        engine: ArgoEngine,
        seen: Any,
        method: str,
        said: Said,
        meant: type[EngineError],
    ) -> None:
        server.on(method, WORKFLOW, said)
        with pytest.raises(meant) as raised:
            engine.stop(seen) if method == "PATCH" else engine.delete(seen)
        assert type(raised.value) is meant

    def test_a_stop_without_an_answer_is_an_outage(
        self, server: ApiServer, engine: ArgoEngine, seen: Any
    ) -> None:
        server.on("PATCH", WORKFLOW, Silence())
        with pytest.raises(EngineUnavailable):
            engine.stop(seen)

    def test_a_delete_is_in_the_foreground_and_of_this_uid_only(
        self, server: ApiServer, engine: ArgoEngine, seen: Any
    ) -> None:
        server.on("DELETE", WORKFLOW, Said({"kind": "Status"}))
        server.on("GET", CONFIG_MAP, Said(config_map(ownerReferences=[{"uid": UID}])))
        engine.delete(seen)
        assert server.requests[0].body == {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": UID},
        }
        assert server.calls() == [f"DELETE workflows/{NAME}", f"GET configmaps/{NAME}"]
        server.on("GET", WORKFLOWS, listed())
        assert engine.workflows() == []

    @pytest.mark.parametrize("said", [Said({"kind": "Status"}), absent(NAME)])
    def test_a_config_map_without_an_owner_is_deleted_too(
        self, server: ApiServer, engine: ArgoEngine, seen: Any, said: Said
    ) -> None:
        server.on("DELETE", WORKFLOW, said)
        server.on("GET", CONFIG_MAP, Said(config_map()))
        server.on("DELETE", CONFIG_MAP, Said({"kind": "Status"}))
        engine.delete(seen)
        assert server.requests[-1].method == "DELETE"
        assert server.requests[-1].body["preconditions"] == {"uid": "cm-1"}

    @pytest.mark.parametrize(
        "config", [absent(NAME), Said(config_map(labels={"gpuq/job-id": "bob_1"}))]
    )
    def test_a_config_map_of_another_job_stays(
        self, server: ApiServer, engine: ArgoEngine, seen: Any, config: Said
    ) -> None:
        server.on("DELETE", WORKFLOW, Said({"kind": "Status"}))
        server.on("GET", CONFIG_MAP, config)
        engine.delete(seen)
        assert len(server.requests) == 2

    def test_a_workflow_of_another_uid_stays_with_its_config_map(
        self, server: ApiServer, engine: ArgoEngine, seen: Any
    ) -> None:
        server.on(
            "DELETE", WORKFLOW, status(409, "Conflict", "Precondition failed: UID in precondition")
        )
        engine.delete(seen)
        assert server.calls() == [f"DELETE workflows/{NAME}"]

    @pytest.mark.parametrize(
        ("config", "text"),
        [
            (Said(config_map()), "a: 1\n"),
            (Said(config_map(labels={})), None),
            (Said({"metadata": {"labels": {"gpuq/job-id": "ann_20261124120001"}}}), None),
            (absent(NAME), None),
        ],
    )
    def test_the_config_text_is_that_of_the_jobs_own_config_map(
        self, server: ApiServer, engine: ArgoEngine, seen: Any, config: Said, text: str | None
    ) -> None:
        server.on("GET", CONFIG_MAP, config)
        assert engine.config_text(seen) == text
