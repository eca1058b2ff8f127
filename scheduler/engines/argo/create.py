"""Create a job's objects: the ConfigMap with its config, the Workflow, and the tie between them.

In this order a pod never waits for a config that does not exist, and whatever a crash leaves behind
is reused by the next create, or found by `drop_orphan`.
"""

from typing import Any

from jobqueue.failpoints import failpoint
from jobqueue.service.log import get_logger
from scheduler.engines.argo.errors import (
    Api,
    CallFailed,
    Refused,
    change,
    get_or_none,
    of_a_create,
)
from scheduler.engines.argo.manifests import (
    config_maps_path,
    config_of,
    job_label,
    make_config_map,
    make_delete_options,
    make_owner_patch,
    name_of,
    owners,
    uid_of,
    workflows_path,
)
from scheduler.engines.contract import (
    EngineError,
    EngineUnavailable,
    WorkflowExists,
    WorkflowNotMade,
)

log = get_logger(__name__)

_CONFLICT = 409


class Creator:
    """The creator creates workflows in one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def create(self, workflow: dict[str, Any], config_text: str) -> dict[str, Any]:
        """Return the Workflow as the API server created it; raises every EngineError."""
        name = workflow["metadata"]["name"]
        config_uid = self._create_config_map(make_config_map(workflow, config_text))
        failpoint("argo.create.configmap")
        created = self._create_workflow(workflow, name, config_uid)
        failpoint("argo.create.workflow")
        self._tie(name, uid_of(created))
        failpoint("argo.create.owner")
        return created

    def drop_orphan(self, name: str, job_id: str) -> None:
        """Delete a ConfigMap of this job that no Workflow owns; an owned one is not our concern."""
        present = get_or_none(self._api, self._config(name), name)
        if present is not None and job_label(present) == job_id and not owners(present):
            self._drop(present)

    # -- the ConfigMap ---------------------------------------------------------------------------

    def _create_config_map(self, wanted: dict[str, Any]) -> str:
        """Create it, or reuse the one that an earlier create has left; return its uid."""
        try:
            try:
                return uid_of(self._api.call("POST", self._config(), body=wanted))
            except Refused as error:
                if error.status != _CONFLICT:
                    raise
            return self._reuse(wanted)
        except CallFailed as error:
            raise _before_the_workflow(error) from error

    def _reuse(self, wanted: dict[str, Any]) -> str:
        """Reuse the ConfigMap that has the name, if an earlier create of this job has left it.

        Raises WorkflowExists if it belongs to a Workflow or to anything else.
        """
        name = name_of(wanted)
        if get_or_none(self._api, self._workflow(name), name) is not None:
            raise WorkflowExists(f"A workflow {name} exists already.")
        present = get_or_none(self._api, self._config(name), name)
        if present is not None:
            if job_label(present) != job_label(wanted):
                text = f"A ConfigMap {name} exists already and does not belong to this job."
                raise WorkflowExists(text)
            if not owners(present) and config_of(present) == config_of(wanted):
                return uid_of(present)
            # It belongs to a Workflow that is gone, or has another text.
            self._delete(present)
        return uid_of(self._api.call("POST", self._config(), body=wanted))

    def _delete(self, config_map: dict[str, Any]) -> None:
        options = make_delete_options(uid_of(config_map), "Background")
        name = name_of(config_map)
        change(self._api, "DELETE", self._config(name), name, options)

    def _drop(self, config_map: dict[str, Any]) -> None:
        try:
            self._delete(config_map)
        except CallFailed as error:  # the next create of this name reuses or replaces it
            name = name_of(config_map)
            log.warning("ConfigMap left without a workflow.", config_map=name, error=str(error))

    # -- the Workflow ----------------------------------------------------------------------------

    def _create_workflow(
        self, workflow: dict[str, Any], name: str, config_uid: str
    ) -> dict[str, Any]:
        try:
            return self._api.call("POST", self._workflow(), body=workflow)
        except CallFailed as error:
            meaning = of_a_create(error)
            if not self._may_need_config(meaning, name, workflow):
                self._drop({"metadata": {"name": name, "uid": config_uid}})
            raise meaning from error

    def _may_need_config(self, meaning: EngineError, name: str, workflow: dict[str, Any]) -> bool:
        """Return whether a Workflow of this job may exist all the same.

        The answer is unknown, or another leader has created it meanwhile.
        """
        if isinstance(meaning, EngineUnavailable):
            return True
        try:
            present = get_or_none(self._api, self._workflow(name), name)
        except CallFailed:
            return True
        if present is None:
            return isinstance(meaning, WorkflowExists)  # it existed a moment ago
        return job_label(present) == job_label(workflow)

    def _tie(self, name: str, uid: str) -> None:
        try:
            self._api.call("PATCH", self._config(name), body=make_owner_patch(name, uid))
        except CallFailed as error:  # the workflow exists all the same; see `drop_orphan`
            text = "ConfigMap not tied to its workflow."
            log.warning(text, config_map=name, error=str(error))

    def _workflow(self, name: str = "") -> str:
        return workflows_path(self._namespace, name)

    def _config(self, name: str = "") -> str:
        return config_maps_path(self._namespace, name)


def _before_the_workflow(error: CallFailed) -> EngineError:
    """Return what a failed call means before the create of the Workflow: there is none."""
    meaning = of_a_create(error)
    is_not_made = isinstance(meaning, EngineUnavailable | WorkflowExists)
    return WorkflowNotMade(str(meaning), meaning.retry_after_s) if is_not_made else meaning
