"""This module renders (template, job) to the Workflow of one attempt.

It is a pure function that sets fields and never composes text.
"""

import json
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from jobqueue.job import Job

#: The end of a template's file name. What comes before it is the template's name, which begins the
#: Workflow's name; Argo limits that to 63 characters.
SUFFIX = "-workflow.yaml"
#: A name has no dash (and is not `proto`), so that two (template, job id) never share one name.
NAME_PATTERN = re.compile(r"proto-gcn|(?!proto$)[a-z0-9]{1,12}")

LABEL_JOB = "gpuq/job-id"
LABEL_USER = "gpuq/user"
LABEL_ATTEMPT = "gpuq/attempt"
ANNOTATION_SUBMISSION = "gpuq/submission"
GPU_RESOURCE = "nvidia.com/gpu"
#: The RuntimeClass that a container needs to see its GPUs if NVIDIA's runtime is not the default.
GPU_RUNTIME_CLASS = "nvidia"


class TemplateError(Exception):
    """A template is missing or not usable; the message is one sentence that names the file."""


def template_names(folder: Path) -> list[str]:
    """Return what a submission can name as `workflow`: the templates in `folder`."""
    try:
        with os.scandir(folder) as entries:  # the names alone: this runs for every submission
            files = sorted(entry.name for entry in entries)
    except OSError:
        return []
    names = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
    return [name for name in names if NAME_PATTERN.fullmatch(name)]


def load_template(folder: Path, name: str) -> dict[str, Any]:
    """Return the template `name` of `folder`; raises TemplateError."""
    if not NAME_PATTERN.fullmatch(name):
        rule = "it must be proto-gcn or 1 to 12 of a-z and 0-9"
        raise TemplateError(f"{name!r} cannot be a template's name: {rule}.")
    path = folder / f"{name}{SUFFIX}"
    template = _read(path)
    if not _is_template(template):
        rule = "a Workflow whose entrypoint names a template with a container"
        raise TemplateError(f"The template {path} must be {rule}.")
    return template


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"The template {path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise TemplateError(f"The template {path} is not YAML: {problem}") from error


def _is_template(template: Any) -> bool:
    try:
        return (
            template["kind"] == "Workflow"
            and "metadata" in template
            and "container" in entry_template(template)
        )
    except (KeyError, TypeError, StopIteration):
        return False


def workflow_name(job: Job) -> str:
    """Return the name of this attempt's Workflow.

    It depends on the job alone, so that the engine refuses to create an attempt twice.
    """
    name = f"{job.spec.workflow}-{job.job_id.replace('_', '-')}"
    return name if job.attempt == 1 else f"{name}-r{job.attempt}"


def render(
    template: dict[str, Any],
    job: Job,
    *,
    node: str | None = None,
    require_gpu: bool = True,
    unix_ids: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return the Workflow of the job's current attempt; `template` is not changed.

    It runs on `node` if one is given, and as the account `unix_ids` (uid, gid), else as the
    template's. The config's text is not in it, because Argo would evaluate `{{…}}` there: the
    Workflow mounts it from a ConfigMap that has the Workflow's name.
    """
    workflow = deepcopy(template)
    spec = workflow["spec"]
    main = entry_template(workflow)
    _set_metadata(workflow["metadata"], job)
    _set_parameters(spec.setdefault("arguments", {}), job)
    _mount_config(spec.get("volumes", []), job)
    _set_container(main["container"], job, require_gpu)
    if job.spec.time_limit_s is not None:
        # Not the Workflow's own deadline, which would include the wait for a GPU.
        main["activeDeadlineSeconds"] = job.spec.time_limit_s
    if node is not None:
        _pin(spec, node)
    if unix_ids is not None:
        spec.setdefault("securityContext", {}).update(runAsUser=unix_ids[0], runAsGroup=unix_ids[1])
    if not require_gpu and isinstance(spec.get("podSpecPatch"), str):
        spec["podSpecPatch"] = _without_gpu_runtime(spec["podSpecPatch"])
    return workflow


def entry_template(workflow: dict[str, Any]) -> dict[str, Any]:
    """Return the template that the Workflow's entrypoint names."""
    spec = workflow["spec"]
    return next(
        template for template in spec["templates"] if template["name"] == spec["entrypoint"]
    )


def _set_metadata(metadata: dict[str, Any], job: Job) -> None:
    metadata["name"] = workflow_name(job)
    labels = metadata.setdefault("labels", {})
    labels["app.kubernetes.io/part-of"] = "gpuq"
    labels[LABEL_JOB] = job.job_id
    labels[LABEL_USER] = job.spec.user
    labels[LABEL_ATTEMPT] = str(job.attempt)
    metadata.setdefault("annotations", {})[ANNOTATION_SUBMISSION] = _submission(job)


def _submission(job: Job) -> str:
    """Return the submission without the config's text; from it a lost Redis can be restored."""
    entry = json.loads(job.entry) if job.entry else None
    spec = job.spec.to_hash()
    del spec["config_text"]
    return json.dumps({"entry": entry, **spec}, ensure_ascii=False)


def _set_parameters(arguments: dict[str, Any], job: Job) -> None:
    """Set the job's parameters; the template's other ones keep their values."""
    parameters = {item["name"]: item for item in arguments.get("parameters", [])}
    values = {"user": job.spec.user, "config": job.spec.config, "workdir": job.spec.workdir}
    parameters |= {name: {"name": name, "value": value} for name, value in values.items()}
    arguments["parameters"] = list(parameters.values())


def _mount_config(volumes: list[dict[str, Any]], job: Job) -> None:
    items = [{"key": "config", "path": job.spec.config}]
    for volume in volumes:
        if "configMap" in volume:
            volume["configMap"] = {"name": workflow_name(job), "items": items}


def _set_container(container: dict[str, Any], job: Job, require_gpu: bool) -> None:
    env = {item["name"]: item for item in container.get("env", [])}
    env["JOB_ID"] = {"name": "JOB_ID", "value": job.job_id}
    limits = container.setdefault("resources", {}).setdefault("limits", {})
    if require_gpu:
        # The device plugin shows the container only its own GPUs, which are numbered from 0 there.
        visible = ",".join(str(index) for index in range(job.spec.gpus))
        env["CUDA_VISIBLE_DEVICES"] = {"name": "CUDA_VISIBLE_DEVICES", "value": visible}
        limits[GPU_RESOURCE] = job.spec.gpus
    else:
        env.pop("CUDA_VISIBLE_DEVICES", None)
        env.pop("REQUIRE_GPU", None)
        limits.pop(GPU_RESOURCE, None)
    container["env"] = list(env.values())


def _pin(spec: dict[str, Any], node: str) -> None:
    """Add the node's name, which may differ from its hostname label, to the template's terms."""
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    name = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = required.get("nodeSelectorTerms") or [{}]  # any of them may match: each gets the name
    required["nodeSelectorTerms"] = [
        {**term, "matchFields": [*term.get("matchFields", []), name]} for term in terms
    ]


def _without_gpu_runtime(patch: str) -> str:
    """Remove NVIDIA's RuntimeClass, because a cluster that does not have it refuses the pod.

    A patch that is not YAML before Argo has evaluated it is not changed.
    """
    try:
        content = yaml.safe_load(patch)
    except yaml.YAMLError:
        return patch
    if not isinstance(content, dict) or content.get("runtimeClassName") != GPU_RUNTIME_CLASS:
        return patch
    del content["runtimeClassName"]
    return json.dumps(content)
