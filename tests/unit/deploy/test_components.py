"""The components of deploy/ and the guide that describes them."""

import re
from typing import Any

import pytest
import yaml

from scheduler.settings import SchedulerSettings
from tests.unit.deploy.manifests import KUSTOMIZATIONS, ROOT, base, container, read

COMPONENTS = ROOT / "deploy" / "components"
GUIDE = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def component(name: str) -> dict[str, Any]:
    (content,) = read(COMPONENTS / name / "kustomization.yaml")
    return content


def test_redis_starts_on_the_one_node_that_has_its_folder() -> None:
    (volume,) = read(COMPONENTS / "redis-volume" / "volume.yaml")
    assert volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"] == [
        {"matchExpressions": [{"key": "gpuq/redis", "operator": "Exists"}]}
    ]
    targets = [
        patch.get("target", {})
        for path in KUSTOMIZATIONS
        for patch in read(path)[0].get("patches", [])
    ]
    assert not any("gpuq-redis-data" in target.get("name", "") for target in targets)
    step = GUIDE.partition("## 4. The disk")[2].partition("## 5.")[0]
    assert "kubectl label node NODE gpuq/redis=" in step
    assert volume["spec"]["local"]["path"] in step


def test_the_api_servers_address_replaces_every_rule_that_is_open_to_all() -> None:
    (patch,) = component("api-server")["patches"]
    (operation,) = yaml.safe_load(patch["patch"])
    assert (operation["op"], operation["path"]) == ("add", "/spec/egress/0/to")
    assert all(set(peer) == {"ipBlock"} for peer in operation["value"])
    policies = {
        item["metadata"]["name"]: item["spec"].get("egress", [])
        for item in base()
        if item["kind"] == "NetworkPolicy"
    }
    open_ones = {
        (name, place)
        for name, rules in policies.items()
        for place, rule in enumerate(rules)
        if "to" not in rule
    }
    closed = {(name, 0) for name in policies if re.fullmatch(patch["target"]["name"], name)}
    assert closed == open_ones == {("scheduler", 0), ("training", 0)}


def test_the_scheduler_reads_the_unix_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    (patch,) = component("unix-accounts")["patches"]
    spec = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]
    (main,) = spec["containers"]
    assert main["name"] == container("scheduler")["name"]
    ((mount,), (variable,)) = main["volumeMounts"], main["env"]
    folder, _, file = variable["value"].rpartition("/")
    assert (variable["name"], folder) == ("UNIX_IDS", mount["mountPath"])
    monkeypatch.setenv("UNIX_IDS", str(COMPONENTS / "unix-accounts" / file))
    assert SchedulerSettings().unix_ids == {"ann": (1001, 1001)}


def test_a_changed_line_in_the_unix_accounts_restarts_the_scheduler() -> None:
    """It reads them once, so their ConfigMap needs the suffix that depends on its content."""
    content = component("unix-accounts")
    (made,) = content["configMapGenerator"]
    assert not content.get("generatorOptions", {}).get("disableNameSuffixHash")
    assert not made.get("options", {}).get("disableNameSuffixHash")
    (patch,) = content["patches"]
    (volume,) = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]["volumes"]
    assert volume["configMap"]["name"] == made["name"]


def test_the_guide_names_every_image_that_a_node_without_a_registry_needs() -> None:
    step = GUIDE.partition("## 3. The images")[2].partition("## 4.")[0]
    named = {word.partition("=")[0] for word in re.findall(r"`([^`\s]+)`", step)}
    manifests = [
        item["spec"]["template"]["spec"] for item in base() if "template" in item.get("spec", {})
    ]
    needed = {main["image"] for spec in manifests for main in spec["containers"]} | {
        "proto-gcn:latest"
    }
    release = re.search(r"argo-workflows/releases/download/(v[\d.]+)/", GUIDE)
    assert release
    needed |= {
        f"quay.io/argoproj/{name}:{release[1]}" for name in ("workflow-controller", "argoexec")
    }
    assert needed <= named
