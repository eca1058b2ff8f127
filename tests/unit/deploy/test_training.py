"""The shipped template and the objects of deploy/ use the same names."""

from copy import deepcopy

import yaml

from devtools.testbed.fakes import make_job
from proto_gcn.engine.settings import RunSettings
from tests.unit.deploy.manifests import ROOT, find, pod, read
from workflows.render import entry_template, load_template, render

TEMPLATE = load_template(ROOT / "workflows", "proto-gcn")
SPEC = TEMPLATE["spec"]


def test_the_account_and_its_token() -> None:
    account = SPEC["serviceAccountName"]
    assert account == SPEC["executor"]["serviceAccountName"]
    assert SPEC["automountServiceAccountToken"] is False
    assert find("ServiceAccount", account)["automountServiceAccountToken"] is False
    token = find("Secret", f"{account}.service-account-token")  # Argo looks for this name
    assert token["type"] == "kubernetes.io/service-account-token"
    assert token["metadata"]["annotations"] == {"kubernetes.io/service-account.name": account}
    assert find("Role", account)["rules"] == [
        {
            "apiGroups": ["argoproj.io"],
            "resources": ["workflowtaskresults"],
            "verbs": ["create", "patch"],
        }
    ]


def test_the_claim_exists() -> None:
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in SPEC["volumes"]
        if len(volume) == 2 and "persistentVolumeClaim" in volume
    ]
    assert claims == ["gpuq-data"]
    claim, volume = (
        find("PersistentVolumeClaim", "gpuq-data"),
        find("PersistentVolume", "gpuq-data"),
    )
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["claimRef"] == {"namespace": "gpuq", "name": "gpuq-data"}
    assert volume["spec"]["hostPath"] == {"path": "/data", "type": "Directory"}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_every_template_schema_and_config_is_in_a_config_map() -> None:
    (kustomization,) = read(ROOT / "workflows" / "kustomization.yaml")
    made = {item["name"]: set(item["files"]) for item in kustomization["configMapGenerator"]}
    folder = ROOT / "workflows"
    templates = {
        path.name
        for pattern in ("*-workflow.yaml", "*.schema.json")
        for path in folder.glob(pattern)
    }
    configs = {str(path.relative_to(folder)) for path in (folder / "configs").iterdir()}
    assert made == {"gpuq-workflows": templates, "gpuq-configs": configs}
    assert any(volume.get("configMap") == {"name": "gpuq-configs"} for volume in SPEC["volumes"])


def test_the_network_policy_selects_the_trainings() -> None:
    labels = SPEC["podMetadata"]["labels"]
    wanted = find("NetworkPolicy", "training")["spec"]["podSelector"]["matchLabels"]
    assert wanted.items() <= labels.items()


def test_argos_own_containers_have_no_more_privileges_than_the_training() -> None:
    patch = yaml.safe_load(SPEC["podSpecPatch"])
    own = SPEC["templates"][0]["container"]["securityContext"]
    (init,), (wait,) = patch["initContainers"], patch["containers"]
    assert (init["name"], wait["name"]) == ("init", "wait")
    assert init["securityContext"] == wait["securityContext"] == own
    assert set(init["resources"]) == set(wait["resources"]) == {"requests", "limits"}


def test_a_training_sees_gpus_on_the_nodes_where_the_monitor_does() -> None:
    """Only NVIDIA's runtime, which may not be the node's default, gives a container its GPUs."""
    assert (
        yaml.safe_load(SPEC["podSpecPatch"])["runtimeClassName"]
        == pod("resource-monitor")["runtimeClassName"]
    )
    main = entry_template(TEMPLATE)["container"]
    assert main["resources"]["limits"]["nvidia.com/gpu"] == 1
    environment = {item["name"]: item["value"] for item in main["env"]}
    assert RunSettings.from_environment(environment).require_gpu is True


def test_argos_defaults_delete_neither_a_workflow_nor_its_pod() -> None:
    """Argo fills absent fields from its `workflowDefaults`, so the template must have them all."""
    defaults = {"secondsAfterCompletion": 60, "secondsAfterSuccess": 0, "secondsAfterFailure": 60}
    years = {
        name: seconds / (365 * 24 * 3600)
        for name, seconds in {**defaults, **SPEC["ttlStrategy"]}.items()
    }
    assert min(years.values()) > 60
    assert max(SPEC["ttlStrategy"].values()) < 2**31
    pods = {**SPEC["podMetadata"]["labels"], "workflows.argoproj.io/workflow": "proto-gcn-ann-1"}
    (needed,) = SPEC["podGC"]["labelSelector"]["matchExpressions"]
    assert needed["operator"] == "DoesNotExist"
    assert needed["key"] in pods


def test_the_cpu_overlays_template_differs_only_in_what_a_cpu_needs() -> None:
    (cpu,) = read(ROOT / "deploy" / "overlays" / "cpu" / "proto-gcn-workflow.yaml")
    expected = deepcopy(TEMPLATE)
    for workflow in (cpu, expected):
        workflow["spec"]["podSpecPatch"] = yaml.safe_load(workflow["spec"]["podSpecPatch"])
    del expected["spec"]["podSpecPatch"]["runtimeClassName"]
    main = expected["spec"]["templates"][0]["container"]
    main["image"] = "proto-gcn:cpu"
    main["env"] = [
        item for item in main["env"] if item["name"] not in ("CUDA_VISIBLE_DEVICES", "REQUIRE_GPU")
    ]
    del main["resources"]["limits"]["nvidia.com/gpu"]
    main["resources"]["requests"] = {"cpu": "1", "memory": "2Gi"}
    expected["spec"]["tolerations"] = [
        t for t in SPEC["tolerations"] if t["key"] != "nvidia.com/gpu"
    ]
    assert cpu == expected


def test_rendered_without_gpus_both_templates_request_none() -> None:
    (cpu,) = read(ROOT / "deploy" / "overlays" / "cpu" / "proto-gcn-workflow.yaml")
    rendered = [render(template, make_job(), require_gpu=False) for template in (TEMPLATE, cpu)]
    for workflow in rendered:
        assert "nvidia.com" not in yaml.safe_dump(workflow["spec"]["templates"])
        assert "runtimeClassName" not in workflow["spec"]["podSpecPatch"]
        assert "REQUIRE_GPU" not in yaml.safe_dump(workflow)
