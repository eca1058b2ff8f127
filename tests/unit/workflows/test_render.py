"""The Workflow of a job as a whole dict, and the values that must never be in it."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from devtools import ROOT
from devtools.testbed.fakes import make_job
from workflows.render import TemplateError, load_template, render, template_names, workflow_name

FOLDER = ROOT / "workflows"
TEMPLATE = load_template(FOLDER, "proto-gcn")


def container(workflow: dict) -> dict:
    return workflow["spec"]["templates"][0]["container"]


def env(workflow: dict) -> dict[str, str]:
    """Return the container's environment; no variable may be set twice."""
    items = container(workflow)["env"]
    values = {item["name"]: item["value"] for item in items}
    assert len(values) == len(items)
    return values


def test_the_fields_of_the_founding_document() -> None:
    workflow = render(TEMPLATE, make_job("user1"))
    assert workflow["apiVersion"] == "argoproj.io/v1alpha1"
    assert workflow["kind"] == "Workflow"
    assert workflow["spec"]["entrypoint"] == "train"
    assert container(workflow)["image"] == "proto-gcn:latest"
    assert container(workflow)["command"] == ["python", "train.py"]
    assert container(workflow)["resources"]["limits"] == {"nvidia.com/gpu": 1, "memory": "16Gi"}
    assert env(workflow) == {
        "CUDA_VISIBLE_DEVICES": "0",
        "REQUIRE_GPU": "true",
        "CONFIG_FILE": "/config/{{workflow.parameters.config}}",
        "WORK_DIR": "{{workflow.parameters.workdir}}",
        "JOB_ID": "user1_20261124120001",
    }
    assert workflow["spec"]["arguments"]["parameters"] == [
        {"name": "user", "value": "user1"},
        {"name": "config", "value": "config.yaml"},
        {"name": "workdir", "value": "/data/user1"},
    ]


def test_metadata_as_a_whole() -> None:
    metadata = render(TEMPLATE, make_job("user1", attempt=2))["metadata"]
    submission = metadata.pop("annotations")["gpuq/submission"]
    assert metadata == {
        "name": "proto-gcn-user1-20261124120001-r2",
        "labels": {
            "app.kubernetes.io/name": "proto-gcn",
            "app.kubernetes.io/part-of": "gpuq",
            "gpuq/job-id": "user1_20261124120001",
            "gpuq/user": "user1",
            "gpuq/attempt": "2",
        },
    }
    assert '"entry": {"user": "user1"' in submission
    assert "config_text" not in submission


def test_the_first_attempt_has_no_suffix_in_its_name() -> None:
    assert workflow_name(make_job("user1")) == "proto-gcn-user1-20261124120001"


def test_the_submission_keeps_letters_of_every_language() -> None:
    job = make_job()
    job = replace(job, entry="", spec=replace(job.spec, config="größe.yaml"))
    annotation = render(TEMPLATE, job)["metadata"]["annotations"]["gpuq/submission"]
    assert '"entry": null' in annotation
    assert "größe.yaml" in annotation


def bare(**spec: object) -> dict:
    """Return the smallest template: none of the optional fields."""
    train = {"name": "train", "container": {"image": "train"}}
    return {
        "kind": "Workflow",
        "metadata": {},
        "spec": {"entrypoint": "train", "templates": [train], **spec},
    }


@pytest.mark.parametrize("require_gpu", [True, False])
def test_a_template_without_the_optional_fields(require_gpu: bool) -> None:
    workflow = render(bare(), make_job("user1"), require_gpu=require_gpu, unix_ids=(1001, 2001))
    assert workflow["metadata"]["labels"]["gpuq/user"] == "user1"
    assert workflow["spec"]["securityContext"] == {"runAsUser": 1001, "runAsGroup": 2001}
    parameters = workflow["spec"]["arguments"]["parameters"]
    assert [item["name"] for item in parameters] == ["user", "config", "workdir"]
    gpu = {"CUDA_VISIBLE_DEVICES": "0"} if require_gpu else {}
    assert env(workflow) == {"JOB_ID": "user1_20261124120001", **gpu}
    limits = container(workflow)["resources"]["limits"]
    assert limits == ({"nvidia.com/gpu": 1} if require_gpu else {})


def test_arguments_without_parameters_get_them() -> None:
    parameters = render(bare(arguments={}), make_job())["spec"]["arguments"]["parameters"]
    assert len(parameters) == 3


def test_the_templates_own_parameters_keep_their_values() -> None:
    own = {"name": "lr", "value": "0.1"}
    template = bare(arguments={"parameters": [own, {"name": "user", "value": "nobody"}]})
    parameters = render(template, make_job("user1"))["spec"]["arguments"]["parameters"]
    assert parameters[:2] == [own, {"name": "user", "value": "user1"}]


def test_several_gpus_time_limit_and_node() -> None:
    workflow = render(TEMPLATE, make_job(spec_gpus=2, spec_time_limit_s=3600), node="gpu-1")
    assert env(workflow)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert container(workflow)["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert workflow["spec"]["templates"][0]["activeDeadlineSeconds"] == 3600
    assert "activeDeadlineSeconds" not in workflow["spec"]
    assert workflow["spec"]["affinity"] == {"nodeAffinity": pin({"matchFields": [NAMED]})}


NAMED = {"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}


def pin(*terms: dict) -> dict:
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}


def test_the_pin_is_added_to_each_term_of_the_templates_own_affinity() -> None:
    big = {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["a100"]}]}
    field = {"key": "metadata.name", "operator": "NotIn", "values": ["gpu-9"]}
    template = deepcopy(TEMPLATE)
    template["spec"]["affinity"] = {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": pin(big, {"matchFields": [field]}),
    }
    assert render(template, make_job(), node="gpu-1")["spec"]["affinity"] == {
        "podAntiAffinity": {"x": 1},
        "nodeAffinity": pin({**big, "matchFields": [NAMED]}, {"matchFields": [field, NAMED]}),
    }
    assert "affinity" not in render(TEMPLATE, make_job())["spec"]


def test_a_users_unix_account() -> None:
    plain = render(TEMPLATE, make_job())["spec"]["securityContext"]
    assert render(TEMPLATE, make_job(), unix_ids=(1001, 2001))["spec"]["securityContext"] == {
        **plain,
        "runAsUser": 1001,
        "runAsGroup": 2001,
    }


def test_a_training_has_a_minute_to_write_its_checkpoint() -> None:
    assert yaml.safe_load(TEMPLATE["spec"]["podSpecPatch"])["terminationGracePeriodSeconds"] == 60


def patched(patch: str | None, require_gpu: bool) -> str | None:
    """The podSpecPatch of a Workflow whose template has this one."""
    template = deepcopy(TEMPLATE)
    template["spec"]["podSpecPatch"] = patch
    return render(template, make_job(), require_gpu=require_gpu)["spec"]["podSpecPatch"]


def test_no_gpu_is_requested_if_none_is_required() -> None:
    workflow = render(TEMPLATE, make_job(), require_gpu=False)
    assert not {"CUDA_VISIBLE_DEVICES", "REQUIRE_GPU"} & env(workflow).keys()
    assert "nvidia.com/gpu" not in container(workflow)["resources"]["limits"]
    before, after = (yaml.safe_load(it["spec"]["podSpecPatch"]) for it in (TEMPLATE, workflow))
    assert before == {"runtimeClassName": "nvidia", **after}


@pytest.mark.parametrize(
    "patch",
    ["runtimeClassName: gvisor # ours", "priority: {{workflow.parameters.p}}", "[1]", "", None],
)
def test_another_patch_is_not_changed(patch: str | None) -> None:
    assert patched(patch, require_gpu=False) == patch


def test_nvidias_runtime_is_kept_if_a_gpu_is_required() -> None:
    assert (
        patched("runtimeClassName: nvidia # seen", require_gpu=True)
        == "runtimeClassName: nvidia # seen"
    )
    assert patched('{"runtimeClassName": "nvidia"}', require_gpu=False) == "{}"


def test_the_config_is_mounted_from_a_config_map_of_the_workflows_name() -> None:
    job = make_job()
    volumes = {volume["name"]: volume for volume in render(TEMPLATE, job)["spec"]["volumes"]}
    assert volumes["config"]["configMap"] == {
        "name": workflow_name(job),
        "items": [{"key": "config", "path": "config.yaml"}],
    }


@given(st.text(min_size=8))
def test_the_config_makes_no_difference_to_the_workflow(text: str) -> None:
    job = make_job()
    other = replace(job, spec=replace(job.spec, config_text=text))
    assert render(TEMPLATE, other) == render(TEMPLATE, job)


def test_the_template_is_not_changed() -> None:
    before = yaml.safe_dump(TEMPLATE)
    render(TEMPLATE, make_job(spec_gpus=4), node="x", require_gpu=False)
    assert yaml.safe_dump(TEMPLATE) == before


def test_the_template_can_be_submitted_by_hand() -> None:
    assert [parameter["name"] for parameter in TEMPLATE["spec"]["arguments"]["parameters"]] == [
        "user",
        "config",
        "workdir",
    ]
    assert env(TEMPLATE)["JOB_ID"] == "{{workflow.name}}"


def test_names_stay_within_what_argo_allows() -> None:
    job = make_job("u" * 28, attempt=99, spec_workflow="proto-gcn")
    assert len(workflow_name(job)) + len("-99") <= 63


def test_a_second_template_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other-workflow.yaml").write_text(yaml.safe_dump(TEMPLATE), encoding="utf-8")
    (tmp_path / "NOT_A_NAME-workflow.yaml").touch()
    assert template_names(tmp_path) == ["other"]
    workflow = render(load_template(tmp_path, "other"), make_job(spec_workflow="other"))
    assert workflow["metadata"]["name"].startswith("other-ann-")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod", "must be a Workflow"),
        ("[1", "not YAML: while parsing a flow sequence"),
        ("", "must be a Workflow"),
        (
            "kind: Workflow\nmetadata: {}\nspec: {entrypoint: x, templates: []}",
            "must be a Workflow",
        ),
    ],
)
def test_a_broken_template_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "bad-workflow.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(TemplateError, match=says):
        load_template(tmp_path, "bad")


@pytest.mark.parametrize("bad", ["../etc", "", "UPPER", "a" * 13, "proto"])
def test_names_that_no_template_can_have(tmp_path: Path, bad: str) -> None:
    with pytest.raises(TemplateError) as refused:
        load_template(tmp_path, bad)
    rule = "it must be proto-gcn or 1 to 12 of a-z and 0-9"
    assert str(refused.value) == f"{bad!r} cannot be a template's name: {rule}."


def test_a_missing_template_is_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "other-workflow.yaml"
    message = f"The template {path} cannot be read (No such file or directory)."
    with pytest.raises(TemplateError) as refused:
        load_template(tmp_path, "other")
    assert str(refused.value) == message
