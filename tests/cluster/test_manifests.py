"""deploy/ on a real API server: no unknown field, every pod admitted, rights to the verb, a second
apply a no-op.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools import ROOT
from devtools.cluster.api import Api, ApiError, Object
from devtools.cluster.build import binaries
from devtools.cluster.plane import Plane
from devtools.cluster.pod import make_pod
from devtools.testbed.fakes import make_job
from devtools.testbed.system import wait_for
from workflows.render import load_template, render

DEPLOY = ROOT / "deploy"
RENDERED = (DEPLOY, *sorted(path.parent for path in DEPLOY.glob("overlays/*/kustomization.yaml")))
COMPONENTS = sorted(path.parent for path in DEPLOY.glob("components/*/kustomization.yaml"))
TEMPLATES = (ROOT / "workflows", DEPLOY / "overlays" / "cpu")
#: Rights beyond the requests that are served: to be somebody else, to grant what one has not, to
#: sign.
SPECIAL = {
    "": {"users": ["impersonate"], "groups": ["impersonate"], "serviceaccounts": ["impersonate"]},
    "rbac.authorization.k8s.io": {
        "roles": ["bind", "escalate"],
        "clusterroles": ["bind", "escalate"],
    },
    "certificates.k8s.io": {"signers": ["approve", "sign"]},
}
WORKFLOWS, ARGO = "argoproj.io/workflows", "argoproj.io/workflowtaskresults"
#: account -> what it may beyond what every account of the cluster may, in its namespace (or, `""`,
#: in the cluster)
RIGHTS: dict[str, dict[tuple[str, str], set[str]]] = {
    "scheduler": {
        ("gpuq", WORKFLOWS): {"create", "get", "list", "watch", "patch", "delete"},
        ("gpuq", "/configmaps"): {"create", "get", "patch", "delete"},
        ("gpuq", "/pods"): {"list"},
        ("gpuq", "/pods/log"): {"get"},
        ("gpuq", "/events"): {"list"},
        ("", "/nodes"): {"get"},
    },
    "proto-gcn": {("gpuq", ARGO): {"create", "patch"}},
    "queue-manager": {},
    "resource-monitor": {},
    "redis": {},
}


@cache
def kustomized(folder: Path) -> tuple[Object, ...]:
    """Return what `kubectl apply -k` would apply: kubectl has this very kustomize in it."""
    made = subprocess.run(
        [binaries()["kustomize"], "build", folder], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return tuple(item for item in yaml.safe_load_all(made.stdout) if item)


def with_component(component: Path, folder: Path) -> Path:
    """Return the base with one component added, as an overlay of one's own is written."""
    base, added = (
        os.path.relpath(path, folder.resolve()) for path in (DEPLOY, component)
    )  # kustomize's rule
    content = {"resources": [base], "components": [added]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return folder


def pods_of(objects: tuple[Object, ...]) -> Iterator[Object]:
    for item in objects:
        template = item.get("spec", {}).get("template")
        if template:
            metadata = {
                "name": item["metadata"]["name"],
                "namespace": item["metadata"]["namespace"],
            }
            labels = template["metadata"]["labels"]
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, "labels": labels},
                "spec": template["spec"],
            }


def admit(api: Api, pod: Object) -> None:
    """Ask the API server to take it, without making it; raises ApiError."""
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"
    api.post(path, pod, dryRun="All", fieldValidation="Strict")


@pytest.fixture(scope="module")
def admin(cluster: Plane) -> Iterator[Api]:
    """The namespaces with their accounts and rights are there."""
    api = cluster.admin
    ready = (
        "Namespace",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
    )
    for folder in RENDERED:
        for kind in ready:
            api.apply_all([item for item in kustomized(folder) if item["kind"] == kind])
    for namespace in ("gpuq", "gpuq-monitor"):
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        wait_for(f"{namespace} has an account", lambda account=account: api.find(account), 30)
    yield api
    for item in itertools.chain.from_iterable(map(kustomized, RENDERED)):
        if "namespace" not in item["metadata"] and api.find(api.path(item)):
            api.delete(api.path(item))


@pytest.mark.parametrize("folder", RENDERED, ids=lambda folder: folder.name)
def test_no_field_is_unknown(admin: Api, folder: Path) -> None:
    for item in kustomized(folder):
        admin.apply(item, dry_run=True)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda folder: folder.name)
def test_every_component_goes_with_the_base(admin: Api, component: Path, tmp_path: Path) -> None:
    for item in kustomized(with_component(component, tmp_path)):
        admin.apply(item, dry_run=True)


def test_a_line_more_in_the_unix_accounts_makes_another_pod_of_the_scheduler(
    tmp_path: Path,
) -> None:
    """kustomize names the ConfigMap by its content, and the pod by that name."""
    objects = kustomized(with_component(DEPLOY / "components" / "unix-accounts", tmp_path))
    (made,) = [
        item["metadata"]["name"] for item in objects if "unix-ids.yaml" in item.get("data", {})
    ]
    assert made.startswith("gpuq-unix-ids-")
    (scheduler,) = [pod for pod in pods_of(objects) if pod["metadata"]["name"] == "scheduler"]
    mounted = {
        volume["name"]: volume.get("configMap", {}).get("name")
        for volume in scheduler["spec"]["volumes"]
    }
    assert mounted["unix-ids"] == made


def test_a_misspelt_field_is_seen(admin: Api) -> None:
    wrong = deepcopy(next(item for item in kustomized(DEPLOY) if item["kind"] == "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Never"
    with pytest.raises(ApiError, match="imagePullPolice"):
        admin.apply(wrong, dry_run=True)


@pytest.mark.parametrize("folder", RENDERED, ids=lambda folder: folder.name)
def test_every_pod_is_admitted_where_it_belongs(admin: Api, folder: Path) -> None:
    pods = list(pods_of(kustomized(folder)))
    assert {pod["metadata"]["name"] for pod in pods} == {
        "queue-manager",
        "scheduler",
        "redis",
        "resource-monitor",
    }
    for pod in pods:
        admit(admin, pod)


def test_a_privileged_monitor_is_not_admitted_among_the_others(admin: Api) -> None:
    pods = pods_of(kustomized(DEPLOY / "overlays" / "privileged-monitor"))
    monitor = next(pod for pod in pods if pod["metadata"]["namespace"] == "gpuq-monitor")
    monitor = deepcopy(monitor)
    monitor["metadata"]["namespace"] = "gpuq"
    with pytest.raises(ApiError, match="violates PodSecurity"):
        admit(admin, monitor)


@pytest.mark.parametrize("folder", TEMPLATES, ids=lambda folder: folder.name)
def test_a_trainings_pod_is_admitted(admin: Api, folder: Path) -> None:
    """As Argo builds it, from a rendered Workflow, and from one submitted by hand."""
    template = load_template(folder, "proto-gcn")
    by_hand = deepcopy(template)
    values = {"user": "ann", "config": "config.yaml", "workdir": "/data/ann"}
    by_hand["spec"]["arguments"]["parameters"] = [
        {"name": name, "value": text} for name, text in values.items()
    ]
    gpu = "cpu" not in folder.parts
    whole = make_job(spec_gpus=4 if gpu else 1, spec_time_limit_s=60, attempt=2)
    pinned = render(template, whole, node="gpu-1", require_gpu=gpu, unix_ids=(1001, 1001))
    for workflow in (by_hand, render(template, make_job(), require_gpu=gpu), pinned):
        workflow["metadata"] |= {"namespace": "gpuq", "uid": "0"}
        admit(admin, make_pod(workflow))


def test_the_demos_data_is_made_by_a_pod_that_is_admitted(admin: Api) -> None:
    (job,) = yaml.safe_load_all((DEPLOY / "demo-data.yaml").read_text())
    admin.apply(job, dry_run=True)
    (pod,) = pods_of((job,))
    admit(admin, pod)


def questions(api: Api) -> Iterator[tuple[str, str, str, str]]:
    """(namespace, group, resource, verb) of every request that the API server serves, and of the
    rights beside.

    What has a namespace is asked about in the account's own, in another one, and in all of them.
    """
    versions = {"": "/api/v1"}
    for group in api.get("/apis")["groups"]:
        versions[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    for name, path in versions.items():
        for item in api.get(path)["resources"]:
            for namespace in ("gpuq", "default", "") if item["namespaced"] else ("",):
                yield from ((namespace, name, item["name"], verb) for verb in item["verbs"])
        for resource, verbs in SPECIAL.get(name, {}).items():
            yield from (("gpuq", name, resource, verb) for verb in verbs)


def allowed(api: Api, asked: list[tuple[str, str, str, str]]) -> set[tuple[str, str, str]]:
    """(namespace, group/resource, verb) of all that this account may."""
    return {
        (namespace, f"{group}/{resource}", verb)
        for namespace, group, resource, verb in asked
        if api.may(verb, resource, namespace, group)
    }


@pytest.fixture(scope="module")
def everybodys(admin: Api, cluster: Plane) -> set[tuple[str, str, str]]:
    """Return what an account of the namespace may that nobody gave any rights."""
    return allowed(cluster.api_of_account("gpuq", "default"), list(questions(admin)))


@pytest.mark.parametrize("account", RIGHTS)
def test_an_account_may_what_it_needs_and_nothing_else(
    admin: Api, cluster: Plane, everybodys: set[tuple[str, str, str]], account: str
) -> None:
    needed = {
        (namespace, what, verb)
        for (namespace, what), verbs in RIGHTS[account].items()
        for verb in verbs
    }
    assert (
        allowed(cluster.api_of_account("gpuq", account), list(questions(admin))) - everybodys
        == needed
    )


def test_a_second_apply_changes_nothing(admin: Api) -> None:
    objects = kustomized(DEPLOY / "overlays" / "lab")
    admin.apply_all(list(objects))
    for item in objects:
        wait_for(
            f"applying {item['kind']} {item['metadata']['name']} again is a no-op",
            unchanged(admin, item),
            30,
        )


def unchanged(api: Api, item: Object) -> Any:
    """Whether an apply leaves the version alone; a controller may write in between, so it may be
    asked again.
    """

    def same() -> bool:
        before = api.get(api.path(item))["metadata"]["resourceVersion"]
        return bool(api.apply(item)["metadata"]["resourceVersion"] == before)

    return same
