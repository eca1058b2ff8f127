"""(Workflow) -> the pod that Argo makes for its entrypoint: pure. Written after Argo 4.0's
`workflowpod.go`.

Kept of it: the names (the pod of an entrypoint bears the Workflow's name), labels and owner, the
containers `init`, `wait` and `main` with what `podSpecPatch` makes of them (so that Pod Security
and quotas judge the real thing), `emissary` before the command, `var-run-argo` and `tmp-dir-argo`,
the executor's token, the deadline. Left out: artifacts, sidecars, hooks.
"""

import json
import re
from copy import deepcopy
from typing import Any

import yaml

EXECUTOR = "quay.io/argoproj/argoexec:v4.0.5"
LABEL_WORKFLOW = "workflows.argoproj.io/workflow"
LABEL_COMPLETED = "workflows.argoproj.io/completed"
_PARAMETER = re.compile(r"\{\{\s*([a-zA-Z0-9_.-]+)\s*\}\}")
_VAR_RUN_ARGO = {"name": "var-run-argo", "mountPath": "/var/run/argo"}
_COPIED = (
    "affinity",
    "nodeSelector",
    "tolerations",
    "securityContext",
    "serviceAccountName",
    "priorityClassName",
)
Object = dict[str, Any]


class PodImpossible(Exception):
    """Argo cannot make a pod of a Workflow; the Workflow then ends as `Error` with this text."""


def make_pod(workflow: Object) -> Object:
    """Return the pod of the Workflow's entrypoint; raises PodImpossible."""
    metadata, spec = workflow["metadata"], workflow["spec"]
    template = _filled(workflow, _entry(spec))
    pod_metadata = deepcopy(spec.get("podMetadata", {}))
    labels = {
        **pod_metadata.get("labels", {}),
        LABEL_WORKFLOW: metadata["name"],
        LABEL_COMPLETED: "false",
    }
    annotations = {
        **pod_metadata.get("annotations", {}),
        "workflows.argoproj.io/node-name": metadata["name"],
    }
    owner = {
        "apiVersion": workflow["apiVersion"],
        "kind": "Workflow",
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [{**owner, "name": metadata["name"], "uid": metadata["uid"]}],
        },
        "spec": _patched(_pod_spec(workflow, template), spec.get("podSpecPatch")),
    }


def path_of(pod: Object) -> str:
    """Return the path of a pod in the API."""
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _pod_spec(workflow: Object, template: Object) -> Object:
    spec = workflow["spec"]
    executor = (spec.get("executor") or {}).get("serviceAccountName")
    volumes = [*_filled(workflow, spec.get("volumes", [])), *template.get("volumes", [])]
    volumes += [{"name": "var-run-argo", "emptyDir": {}}, {"name": "tmp-dir-argo", "emptyDir": {}}]
    if executor:
        volumes.append(
            {"name": "exec-sa-token", "secret": {"secretName": f"{executor}.service-account-token"}}
        )
    elif spec.get("automountServiceAccountToken") is False:
        raise PodImpossible(
            "executor.serviceAccountName must not be empty if automountServiceAccountToken is false"
        )
    made = {
        "restartPolicy": "Never",
        "initContainers": [_argo_container("init", ["argoexec", "init"], executor, -1)],
        "containers": [_argo_container("wait", ["argoexec", "wait"], executor, 0), _main(template)],
        "volumes": volumes,
        **{name: deepcopy(spec[name]) for name in _COPIED if name in spec},
        **{name: deepcopy(template[name]) for name in _COPIED if name in template},
    }
    if spec.get("automountServiceAccountToken") is False:
        made["automountServiceAccountToken"] = False
    if template.get("activeDeadlineSeconds"):
        made["activeDeadlineSeconds"] = int(template["activeDeadlineSeconds"])
    return made


def _argo_container(name: str, command: list[str], executor: str | None, index: int) -> Object:
    mounts: list[Object] = [_VAR_RUN_ARGO]
    if index >= 0:
        mounts.append({"name": "tmp-dir-argo", "mountPath": "/tmp", "subPath": str(index)})
    if executor:
        path = "/var/run/secrets/kubernetes.io/serviceaccount"
        mounts.append({"name": "exec-sa-token", "mountPath": path, "readOnly": True})
    return {
        "name": name,
        "image": EXECUTOR,
        "command": command,
        "volumeMounts": mounts,
        "resources": {},
    }


def _main(template: Object) -> Object:
    container = {**deepcopy(template["container"]), "name": "main"}
    if not container.get("command"):
        raise PodImpossible(f"failed to look-up entrypoint/cmd for image {container['image']!r}")
    container["command"] = ["/var/run/argo/argoexec", "emissary", "--", *container["command"]]
    progress = {"name": "ARGO_PROGRESS_FILE", "value": "/var/run/argo/progress"}
    container["env"] = [
        *container.get("env", []),
        {"name": "ARGO_CONTAINER_NAME", "value": "main"},
        progress,
    ]
    container["volumeMounts"] = [*container.get("volumeMounts", []), _VAR_RUN_ARGO]
    return container


def _entry(spec: Object) -> Object:
    found = [
        template
        for template in spec.get("templates", [])
        if template.get("name") == spec.get("entrypoint")
    ]
    if not found:
        raise PodImpossible(f"template name '{spec.get('entrypoint')}' undefined")
    return found[0]


def _filled(workflow: Object, part: Any) -> Any:
    """Return `part` with Argo's `{{…}}` filled in; raises an error for an unknown one."""
    parameters = workflow["spec"].get("arguments", {}).get("parameters", [])
    known = {
        f"workflow.parameters.{item['name']}": str(item.get("value", "")) for item in parameters
    }
    known |= {
        f"workflow.{name}": workflow["metadata"][name] for name in ("name", "namespace", "uid")
    }

    def value(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise PodImpossible(f"failed to resolve {match[0]}")
        return json.dumps(known[match[1]])[1:-1]

    return json.loads(_PARAMETER.sub(value, json.dumps(part)))


def _patched(spec: Object, patch: str | None) -> Object:
    """Apply a strategic merge: containers, volumes etc. match by name, other lists are replaced."""
    return _merged(spec, yaml.safe_load(patch)) if patch else spec


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        merged = {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
        return {key: value for key, value in merged.items() if value is not None}
    if _named(old) and _named(new):
        changes = {item["name"]: item for item in new}
        kept = [_merged(item, changes.pop(item["name"], {})) for item in old]
        return [*kept, *changes.values()]
    return deepcopy(new)


def _named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "name" in item for item in value)
    )
