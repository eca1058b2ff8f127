"""The Workflow that is made, strictly against what Argo publishes: the full CRD of 4.0, the models
of 3.6, hera's.
"""

from copy import deepcopy
from typing import Any

import pytest
from argo_workflows import model_utils
from argo_workflows.model.io_argoproj_workflow_v1alpha1_workflow import (
    IoArgoprojWorkflowV1alpha1Workflow,
)
from hera.workflows.models import Workflow
from jsonschema import Draft202012Validator

from devtools import ROOT
from devtools.cluster.build import workflow_schema
from devtools.cluster.pod import make_pod
from devtools.testbed.fakes import make_job
from workflows.render import load_template, render

TEMPLATES = [
    path.parent
    for path in (ROOT / "workflows", ROOT / "deploy")
    for path in path.rglob("proto-gcn-workflow.yaml")
]
#: Everything that `render` may set, alone and together: (fields of the job, options of `render`).
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "pinned": ({}, {"node": "gpu-1"}),
    "4 GPUs": ({"spec_gpus": 4}, {}),
    "limited": ({"spec_time_limit_s": 3600}, {}),
    "resumed": ({"attempt": 2}, {}),
    "as a unix account": ({}, {"unix_ids": (1001, 1001)}),
    "without GPU": ({}, {"require_gpu": False}),
    "all at once": (
        {"spec_gpus": 4, "spec_time_limit_s": 3600, "attempt": 2},
        {"node": "gpu-1", "unix_ids": (1001, 1001)},
    ),
}


def rendered() -> dict[str, dict[str, Any]]:
    """Every shape that a Workflow of ours has, of every shipped template; and the templates as they
    are.
    """
    shapes = {}
    for folder in TEMPLATES:
        template, where = load_template(folder, "proto-gcn"), folder.relative_to(ROOT)
        shapes[f"{where}: by hand"] = template
        for name, (fields, options) in VARIANTS.items():
            shapes[f"{where}: {name}"] = render(template, make_job(**fields), **options)
    return shapes


SHAPES = rendered()


@pytest.fixture(scope="module")
def crd() -> Draft202012Validator:
    return Draft202012Validator(_strict(workflow_schema()))


@pytest.mark.parametrize("shape", SHAPES)
def test_argo_4(crd: Draft202012Validator, shape: str) -> None:
    assert [f"{error.json_path}: {error.message}" for error in crd.iter_errors(SHAPES[shape])] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_argo_3_6(shape: str) -> None:
    assert unknown_to(IoArgoprojWorkflowV1alpha1Workflow, SHAPES[shape]) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_hera(shape: str) -> None:
    """Its models know quantities as text alone."""
    workflow = deepcopy(SHAPES[shape])
    for template in workflow["spec"]["templates"]:
        limits = template["container"]["resources"]["limits"]
        limits |= {name: str(value) for name, value in limits.items()}
    Workflow.model_validate(workflow, extra="forbid")


def test_the_checks_see_what_is_wrong(crd: Draft202012Validator) -> None:
    """A field that is misspelt, deep inside, is found by each of them."""
    workflow = rendered()["workflows: plain"]
    workflow["spec"]["templates"][0]["container"]["imagePullPolice"] = "Never"
    assert [error.json_path for error in crd.iter_errors(workflow)] == [
        "$.spec.templates[0].container"
    ]
    assert unknown_to(IoArgoprojWorkflowV1alpha1Workflow, workflow) == [
        ".spec.templates.container.imagePullPolice"
    ]
    with pytest.raises(ValueError, match="imagePullPolice"):
        Workflow.model_validate(workflow, extra="forbid")


@pytest.mark.parametrize("shape", [name for name in SHAPES if not name.endswith("by hand")])
def test_a_pod_can_be_made_of_it(shape: str) -> None:
    workflow = deepcopy(SHAPES[shape])
    workflow["metadata"] |= {"namespace": "gpuq", "uid": "u"}
    assert {container["name"] for container in make_pod(workflow)["spec"]["containers"]} == {
        "wait",
        "main",
    }


def _strict(schema: Any) -> Any:
    """Return a structural schema as JSON Schema, in which what is not named is not allowed."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {
        key: _strict(value)
        for key, value in schema.items()
        if not key.startswith("x-") and key != "description"
    }
    if schema.get("x-kubernetes-int-or-string"):
        strict["type"] = ["integer", "string"]
        strict.pop("anyOf", None)
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict["properties"] = {
            name: _strict(value) for name, value in schema["properties"].items()
        }
        strict.setdefault("additionalProperties", False)
    if schema.get("format") in ("int32", "int64", "date-time", "byte"):
        strict.pop("format")
    return strict


def unknown_to(model: type, value: Any, path: str = "") -> list[str]:
    """Return the fields of `value` that a generated model has no name for."""
    names = {wire: name for name, wire in model.attribute_map.items()}  # type: ignore[attr-defined]
    found = []
    for key, inner in value.items():
        if key not in names:
            found.append(f"{path}.{key}")
            continue
        kind = model.openapi_types[names[key]][0]  # type: ignore[attr-defined]
        for item in inner if isinstance(inner, list) else [inner]:
            found += _unknown_in(kind, item, f"{path}.{key}")
    return found


def _unknown_in(kind: Any, value: Any, path: str) -> list[str]:
    while isinstance(kind, list):
        kind = kind[0]
    is_model = isinstance(kind, type) and issubclass(kind, model_utils.ModelNormal)
    return unknown_to(kind, value, path) if is_model and isinstance(value, dict) else []
