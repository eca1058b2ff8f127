"""Translate a rendered Workflow into what the runner executes: command, environment, limits.

Only what a Workflow of `workflows/` needs is supported; everything else is refused by name.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.engines.contract import Placement, WorkflowRejected
from workflows.render import ANNOTATION_SUBMISSION, LABEL_ATTEMPT, LABEL_JOB, entry_template

#: What a job inherits of the scheduler's environment; never REDIS_URL and the like.
_INHERITED = re.compile(
    r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|GPU_UTILIZATION_PERCENT|OMP_.*|MKL_.*"
    r"|OPENBLAS_.*|CUDA_.*|NVIDIA_.*"
)
_INHERITED_IN_TESTS = re.compile(r"FAILPOINT.*|GPUQ_TESTING")
_PARAMETER = re.compile(r"\{\{\s*workflow\.parameters\.([\w-]+)\s*\}\}")


@dataclass(frozen=True)
class Machine:
    """The machine provides this to a job's process."""

    images: Mapping[str, Path]  #: which folder stands in for an image
    data_root: Path  #: what /data is here
    grace_s: float  #: how long a job may take to end after SIGTERM


def make_launch(
    workflow: dict[str, Any], folder: Path, placement: Placement, machine: Machine
) -> dict[str, Any]:
    """Return the content of launch.json; raises WorkflowRejected.

    `folder` is the workflow's: the config is in it.
    """
    template = entry_template(workflow)
    container, labels = template["container"], workflow["metadata"]["labels"]
    cwd = _image_folder(container.get("image"), machine)
    argv = _argv(workflow, container)
    env = _container_env(workflow, container, folder)
    return {
        "argv": argv,
        "cwd": str(cwd),
        "env": _environment(env, placement, machine),
        "time_limit_s": template.get("activeDeadlineSeconds"),
        "grace_s": machine.grace_s,
        "job_id": labels[LABEL_JOB],
        "attempt": int(labels[LABEL_ATTEMPT]),
        "gpu_uuids": list(placement.gpu_uuids),
        "config": parameters(workflow)["config"],
        "submission": json.loads(workflow["metadata"]["annotations"][ANNOTATION_SUBMISSION]),
    }


def parameters(workflow: dict[str, Any]) -> dict[str, str]:
    """Return the Workflow's parameters by name."""
    items = workflow["spec"]["arguments"]["parameters"]
    return {item["name"]: str(item.get("value", "")) for item in items}


def _image_folder(image: str | None, machine: Machine) -> Path:
    if image is None or image not in machine.images:
        raise WorkflowRejected(
            f"No folder stands in for the image {image} here; name one in LOCAL_IMAGES."
        )
    return machine.images[image]


def _argv(workflow: dict[str, Any], container: dict[str, Any]) -> list[str]:
    if not container.get("command"):
        raise WorkflowRejected(
            "Its template has no command; on one machine there is no image that provides one."
        )
    words = (*container["command"], *container.get("args", []))
    argv = [_substituted(workflow, word) for word in words]
    return [sys.executable if word == "python" else word for word in argv]


def _container_env(
    workflow: dict[str, Any], container: dict[str, Any], folder: Path
) -> dict[str, str]:
    env = {item["name"]: _env_value(workflow, item) for item in container.get("env", [])}
    if env.get("CONFIG_FILE", "").startswith("/config/"):
        env["CONFIG_FILE"] = str(folder / env["CONFIG_FILE"].lstrip("/"))
    return env


def _environment(
    container_env: dict[str, str], placement: Placement, machine: Machine
) -> dict[str, str]:
    in_tests = os.environ.get("GPUQ_TESTING") == "1"
    inherited = {
        name: value
        for name, value in os.environ.items()
        if _INHERITED.fullmatch(name) or (in_tests and _INHERITED_IN_TESTS.fullmatch(name))
    }
    ours = {"PYTHONUNBUFFERED": "1", "DATA_ROOT": str(machine.data_root)}
    env = {**inherited, **ours, **container_env}
    if "CUDA_VISIBLE_DEVICES" in container_env or placement.gpu_uuids:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(placement.gpu_uuids)
    return env


def _env_value(workflow: dict[str, Any], item: dict[str, Any]) -> str:
    if "value" not in item:
        raise WorkflowRejected(
            f"The one-machine engine does not support valueFrom, which env {item['name']} uses; "
            "give it a value."
        )
    return _substituted(workflow, str(item["value"]))


def _substituted(workflow: dict[str, Any], text: str) -> str:
    """Return `text` with its `{{workflow.parameters.…}}` replaced, as Argo does it."""
    known = parameters(workflow)
    unknown = [name for name in _PARAMETER.findall(text) if name not in known]
    if unknown or "{{" in _PARAMETER.sub("", text):
        raise WorkflowRejected(
            f"The one-machine engine cannot evaluate {text!r}; it knows the parameters "
            f"{', '.join(known)}."
        )
    return _PARAMETER.sub(lambda match: known[match[1]], text)
