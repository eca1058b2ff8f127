"""The manifests agree with the code: settings, ports, paths, images, names, verbs."""

import importlib.util
import re
from pathlib import Path, PurePath

import pytest
from pydantic_settings import BaseSettings

from devtools.testbed.fakes import FakeClock
from queue_manager import create_app
from queue_manager.settings import QueueManagerSettings
from resource_monitor.app import build
from resource_monitor.sampler import Sampler
from resource_monitor.settings import Settings as MonitorSettings
from scheduler.settings import SchedulerSettings
from tests.unit.deploy.manifests import (
    BASE,
    KUSTOMIZATIONS,
    ROOT,
    WORKLOADS,
    base,
    container,
    find,
    literals,
    pod,
    read,
)

SETTINGS: dict[str, type[BaseSettings]] = {
    "queue-manager": QueueManagerSettings,
    "scheduler": SchedulerSettings,
    "resource-monitor": MonitorSettings,
}
PODS = (*SETTINGS, "redis")
#: A value for each field or Secret that a variable comes from.
GIVEN = {"metadata.namespace": "gpuq", "spec.nodeName": "gpu-1", "password": "3f2a", "urls": ""}
TEMPLATE = ROOT / "workflows" / "proto-gcn-workflow.yaml"


def environment(service: str) -> dict[str, str]:
    """Return the container's variables, with `$(NAME)` expanded as Kubernetes does."""
    values = dict(literals(BASE / "kustomization.yaml", "gpuq-settings"))
    for item in container(service)["env"]:
        source = item.get("valueFrom", {})
        key = source.get("fieldRef", {}).get("fieldPath") or source.get("secretKeyRef", {}).get(
            "key"
        )
        value = item["value"] if key is None else GIVEN[key]
        values[item["name"]] = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], value)
    return values


def load(service: str, monkeypatch: pytest.MonkeyPatch) -> BaseSettings:
    for name, value in environment(service).items():
        monkeypatch.setenv(name, value)
    if service == "queue-manager":  # it checks that the template exists
        monkeypatch.setenv("WORKFLOW_TEMPLATE", str(TEMPLATE))
    return SETTINGS[service]()


def variables(kind: type[BaseSettings]) -> set[str]:
    return {
        str(field.validation_alias or name).upper() for name, field in kind.model_fields.items()
    }


def probes(name: str) -> list[dict]:
    return [container(name)[kind] for kind in ("startupProbe", "readinessProbe", "livenessProbe")]


def routes(service: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    settings = load(service, monkeypatch)
    if isinstance(settings, QueueManagerSettings):
        app = create_app(settings, None, FakeClock())
    else:
        app = build(Sampler([]), settings)
    return {rule.rule for rule in app.url_map.iter_rules()}


def test_each_service_has_one_file_and_all_files_are_listed() -> None:
    (kustomization,) = read(BASE / "kustomization.yaml")
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert files == {name for name in kustomization["resources"] if not name.startswith("..")}
    for name in PODS:
        names = {item["kind"]: item["metadata"]["name"] for item in read(BASE / f"{name}.yaml")}
        assert names["ServiceAccount"] == name
        assert any(names.get(kind) == name for kind in WORKLOADS)


@pytest.mark.parametrize("service", SETTINGS)
def test_the_service_accepts_its_environment(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(service, monkeypatch).model_dump()
    if service != "resource-monitor":
        assert settings["redis_url"] == "redis://:3f2a@redis:6379/0"
    if service == "queue-manager":
        assert (settings["auth"], settings["queue_manager_host"]) == ("token", "0.0.0.0")
    if service == "scheduler":
        assert (settings["engine"], settings["workflow_namespace"]) == ("argo", "gpuq")
    if service == "resource-monitor":
        assert (settings["node_name"], settings["monitor_host"]) == ("gpu-1", "0.0.0.0")


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_is_a_setting(service: str) -> None:
    own = {item["name"] for item in container(service)["env"]}
    others = {"REDIS_PASSWORD", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}
    assert own - others <= variables(SETTINGS[service])


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_every_shared_literal_is_a_setting_with_an_allowed_value(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {**literals(path, "gpuq-settings"), **literals(path, "gpuq-monitor-settings")}
    assert set(shared) <= set().union(*map(variables, SETTINGS.values()))
    for name, value in shared.items():
        monkeypatch.setenv(name, value)
    for service in SETTINGS:
        load(service, monkeypatch)


@pytest.mark.parametrize("service", ["queue-manager", "resource-monitor"])
def test_ports_and_probed_paths(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = container(service)["ports"]
    settings = load(service, monkeypatch).model_dump()
    (served,) = find("Service", service)["spec"]["ports"]
    listens_on = settings["queue_manager_port" if service == "queue-manager" else "monitor_port"]
    assert port["containerPort"] == served["port"] == listens_on
    assert served["targetPort"] == port["name"]
    asked = [probe["httpGet"] for probe in probes(service)]
    assert {probe["port"] for probe in asked} == {port["name"]}
    assert {probe["path"] for probe in asked} <= routes(service, monkeypatch)


def test_the_queue_manager_is_ready_while_others_do_not_respond() -> None:
    assert {probe["httpGet"]["path"] for probe in probes("queue-manager")} == {"/healthz"}


def test_the_schedulers_probe_is_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in probes("scheduler"):
        python, option, module = probe["exec"]["command"]
        assert (python, option) == ("python", "-m")
        assert importlib.util.find_spec(module)
    assert load("scheduler", monkeypatch).model_dump()["heartbeat_file"].is_relative_to("/tmp")


def test_the_scheduler_asks_the_headless_service_of_the_monitors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = find("Service", "resource-monitor")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    port = service["spec"]["ports"][0]["port"]
    url = load("scheduler", monkeypatch).model_dump()["resource_monitor_url"]
    assert url == f"http://{service['metadata']['name']}:{port}"


@pytest.mark.parametrize("service", ["queue-manager", "scheduler"])
def test_the_folders_in_the_settings_are_mounted(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = SETTINGS[service].model_fields
    mounts = {mount["mountPath"]: mount for mount in container(service)["volumeMounts"]}
    folders = {str(PurePath(fields["workflow_template"].default).parent)}
    if service == "queue-manager":
        folders |= {str(fields["data_root"].default), str(fields["config_root"].default)}
    assert all(mounts[folder]["readOnly"] for folder in folders)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_no_privileges(name: str) -> None:
    spec, main = pod(name), container(name)
    assert spec["serviceAccountName"] == name
    assert spec["automountServiceAccountToken"] is (name == "scheduler")
    assert (
        spec["enableServiceLinks"] is False
    )  # QUEUE_MANAGER_PORT=tcp://… would be taken for the setting
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert main["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for kind in ("requests", "limits"):
        assert set(main["resources"][kind]) == {"cpu", "memory"}
    assert main["imagePullPolicy"] == "IfNotPresent"
    assert main["image"] == ("redis:7" if name == "redis" else f"{name}:latest")
    assert name == "redis" or (ROOT / "docker" / name / "Dockerfile").is_file()
    assert find("ServiceAccount", name)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", PODS)
def test_services_policies_and_workloads_select_the_same_pods(name: str) -> None:
    label = {"app.kubernetes.io/name": name}
    workload = next(
        item for item in base() if item["kind"] in WORKLOADS and item["metadata"]["name"] == name
    )
    assert (
        workload["spec"]["selector"]["matchLabels"]
        == label
        == workload["spec"]["template"]["metadata"]["labels"]
    )
    assert find("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == label
    if name != "scheduler":
        assert find("Service", name)["spec"]["selector"] == label


def test_redis_is_durable_and_hides_its_password() -> None:
    lines = (BASE / "redis.conf").read_text().splitlines()
    settings = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    main = container("redis")
    assert {mount["mountPath"] for mount in main["volumeMounts"]} == {settings["dir"], "/etc/redis"}
    assert "requirepass $REDISCLI_AUTH\n" in main["command"][-1]
    assert [item["valueFrom"]["secretKeyRef"] for item in main["env"]] == [
        {"name": "gpuq-redis", "key": "password"}
    ]
    assert all(probe["exec"]["command"] == ["redis-cli", "-e", "ping"] for probe in probes("redis"))


def test_no_secret_is_in_the_repository() -> None:
    secrets = [
        item
        for path in (ROOT / "deploy").rglob("*.yaml")
        for item in read(path)
        if item.get("kind") == "Secret"
    ]
    assert [item["metadata"]["name"] for item in secrets] == ["proto-gcn.service-account-token"]
    assert not any("data" in item or "stringData" in item for item in secrets)
    assert not any(
        "secretGenerator" in content for path in KUSTOMIZATIONS for content in read(path)
    )
