"""(template, job) -> the Workflow of one attempt: a pure function that sets fields, never text."""

import json
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from jobqueue.job import Job

#: A template's name is its file's name without this. It begins the Workflow's name, which Argo limits to 63 characters.
SUFFIX = "-workflow.yaml"
#: Without a dash (and not `proto`), so that (template, job id) -> Workflow's name never meets itself.
NAME_PATTERN = re.compile(r"proto-gcn|(?!proto$)[a-z0-9]{1,12}")

LABEL_JOB = "gpuq/job-id"
LABEL_USER = "gpuq/user"
LABEL_ATTEMPT = "gpuq/attempt"
ANNOTATION_SUBMISSION = "gpuq/submission"
GPU_RESOURCE = "nvidia.com/gpu"
#: A RuntimeClass: where NVIDIA's runtime is not the default one, a container sees its GPUs with it alone.
GPU_RUNTIME_CLASS = "nvidia"


class TemplateError(Exception):
    """A template that is missing or is no Workflow; its text is one sentence that says what to mend."""


def template_names(folder: Path) -> list[str]:
    """What can be named in a submission's `workflow`: the templates that lie in `folder`."""
    try:
        with os.scandir(folder) as entries:  # names alone: every submission asks
            files = sorted(entry.name for entry in entries)
    except OSError:
        return []
    names = (file.removesuffix(SUFFIX) for file in files if file.endswith(SUFFIX))
    return [name for name in names if NAME_PATTERN.fullmatch(name)]


def load_template(folder: Path, name: str) -> dict[str, Any]:
    """The template `name` of `folder`; raises TemplateError."""
    if not NAME_PATTERN.fullmatch(name):
        raise TemplateError(
            f"{name!r} is no template's name: proto-gcn, or 1 to 12 of a-z and 0-9."
        )
    path = folder / f"{name}{SUFFIX}"
    try:
        template = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"The template {path} cannot be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"The template {path} is not YAML: {' '.join(str(error).split())}"
        ) from error
    _check(path, template)
    return template


def workflow_name(job: Job) -> str:
    """The name of this attempt's Workflow: a function of the job, since it alone keeps a job from being made twice."""
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
    """The Workflow of the job's present attempt, pinned to `node` where one is given; the template stays as it is.

    With `unix_ids` (uid, gid) its containers run as that account, else as the template says.

    The config's text is not in it (Argo would evaluate `{{…}}` there): it travels beside, in a ConfigMap of that name.
    """
    workflow = deepcopy(template)
    name = workflow_name(job)
    metadata, spec = workflow["metadata"], workflow["spec"]
    metadata["name"] = name
    metadata.setdefault("labels", {}).update(
        {
            "app.kubernetes.io/part-of": "gpuq",
            LABEL_JOB: job.job_id,
            LABEL_USER: job.spec.user,
            LABEL_ATTEMPT: str(job.attempt),
        }
    )
    metadata.setdefault("annotations", {})[ANNOTATION_SUBMISSION] = _submission(job)
    parameters = {
        item["name"]: item for item in spec.setdefault("arguments", {}).get("parameters", [])
    }
    for key, value in (
        ("user", job.spec.user),
        ("config", job.spec.config),
        ("workdir", job.spec.workdir),
    ):
        parameters[key] = {"name": key, "value": value}
    spec["arguments"]["parameters"] = list(
        parameters.values()
    )  # others of the template keep their values
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            volume["configMap"] = {
                "name": name,
                "items": [{"key": "config", "path": job.spec.config}],
            }
    main = entry_template(workflow)
    if (
        job.spec.time_limit_s is not None
    ):  # not the Workflow's own deadline, which would count the wait for a GPU
        main["activeDeadlineSeconds"] = job.spec.time_limit_s
    if node is not None:
        _pin(spec, node)
    if unix_ids is not None:
        spec.setdefault("securityContext", {}).update(runAsUser=unix_ids[0], runAsGroup=unix_ids[1])
    _set_container(main["container"], job, require_gpu)
    if not require_gpu and isinstance(spec.get("podSpecPatch"), str):
        spec["podSpecPatch"] = _without_gpu_runtime(spec["podSpecPatch"])
    return workflow


def entry_template(workflow: dict[str, Any]) -> dict[str, Any]:
    """The template that the Workflow's entrypoint names."""
    spec = workflow["spec"]
    return next(
        template for template in spec["templates"] if template["name"] == spec["entrypoint"]
    )


def _pin(spec: dict[str, Any], node: str) -> None:
    """By the node's name, which need not be its hostname label; added to whatever terms the template has."""
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    name = {"key": "metadata.name", "operator": "In", "values": [node]}
    terms = required.get("nodeSelectorTerms") or [{}]  # one of them has to fit: each gets the name
    required["nodeSelectorTerms"] = [
        {**term, "matchFields": [*term.get("matchFields", []), name]} for term in terms
    ]


def _set_container(container: dict[str, Any], job: Job, require_gpu: bool) -> None:
    env = {item["name"]: item for item in container.get("env", [])}
    env["JOB_ID"] = {"name": "JOB_ID", "value": job.job_id}
    limits = container.setdefault("resources", {}).setdefault("limits", {})
    if require_gpu:
        # The device plugin shows the container only its own GPUs, so they are counted from 0 there.
        visible = ",".join(str(index) for index in range(job.spec.gpus))
        env["CUDA_VISIBLE_DEVICES"] = {"name": "CUDA_VISIBLE_DEVICES", "value": visible}
        limits[GPU_RESOURCE] = job.spec.gpus
    else:
        env.pop("CUDA_VISIBLE_DEVICES", None)
        env.pop("REQUIRE_GPU", None)
        limits.pop(GPU_RESOURCE, None)
    container["env"] = list(env.values())


def _without_gpu_runtime(patch: str) -> str:
    """A pod is refused whose RuntimeClass the cluster does not have; what is YAML only to Argo stays as it is."""
    try:
        content = yaml.safe_load(patch)
    except yaml.YAMLError:
        return patch
    if not isinstance(content, dict) or content.get("runtimeClassName") != GPU_RUNTIME_CLASS:
        return patch
    del content["runtimeClassName"]
    return json.dumps(content)


def _submission(job: Job) -> str:
    """What was submitted, without the config's text: from this a lost Redis can be rebuilt."""
    spec = job.spec.to_hash()
    del spec["config_text"]
    return json.dumps(
        {"entry": json.loads(job.entry) if job.entry else None, **spec}, ensure_ascii=False
    )


def _check(path: Path, template: Any) -> None:
    try:
        fits = (
            template["kind"] == "Workflow"
            and "metadata" in template
            and "container" in entry_template(template)
        )
    except (KeyError, TypeError, StopIteration):
        fits = False
    if not fits:
        raise TemplateError(
            f"The template {path} is no Workflow whose entrypoint is a template with a container."
        )
