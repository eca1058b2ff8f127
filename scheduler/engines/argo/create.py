"""How a job's objects come to be: the ConfigMap with its config, the Workflow of the same name, and then they are tied.

In this order a pod never waits for a config that was not made, and whatever a crash leaves behind is taken up by the
next try, or found by `drop_orphan`.
"""

from typing import Any

from jobqueue.failpoints import failpoint
from jobqueue.service.log import get_logger
from scheduler.engines.argo.errors import Api, CallFailed, Refused, change, get_or_none, of_a_create
from scheduler.engines.argo.manifests import (
    config_maps_path,
    config_of,
    job_label,
    make_config_map,
    make_delete_options,
    make_owner_patch,
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


class Creator:
    """Makes workflows in one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def create(self, workflow: dict[str, Any], config_text: str) -> dict[str, Any]:
        """The Workflow as the API server made it; raises every EngineError."""
        name = workflow["metadata"]["name"]
        config_uid = self._make_config_map(make_config_map(workflow, config_text))
        failpoint("argo.create.configmap")
        made = self._make_workflow(workflow, name, config_uid)
        failpoint("argo.create.workflow")
        self._tie(name, uid_of(made))
        failpoint("argo.create.owner")
        return made

    def drop_orphan(self, name: str, job_id: str) -> None:
        """Delete a ConfigMap of this job that was never tied to its workflow; a tied one goes by itself."""
        present = get_or_none(self._api, self._config(name), name)
        if present is not None and job_label(present) == job_id and not owners(present):
            self._drop(name, uid_of(present))

    # -- the ConfigMap ---------------------------------------------------------------------------------------------

    def _make_config_map(self, wanted: dict[str, Any]) -> str:
        """Make it, or take up the one that an earlier try left; returns its uid."""
        try:
            try:
                return uid_of(self._api.call("POST", self._config(), body=wanted))
            except Refused as error:
                if error.status != 409:
                    raise
            return self._take_up(wanted)
        except CallFailed as error:
            raise _before_the_workflow(error) from error

    def _take_up(self, wanted: dict[str, Any]) -> str:
        """The name is taken: by a workflow's own, by what an earlier try or life of this job left, or by a stranger."""
        name = wanted["metadata"]["name"]
        if get_or_none(self._api, self._workflow(name), name) is not None:
            raise WorkflowExists(f"A workflow {name} exists already.")
        present = get_or_none(self._api, self._config(name), name)
        if present is not None and job_label(present) != job_label(wanted):
            raise WorkflowExists(f"A ConfigMap {name} exists already and is not this job's.")
        if present is not None and not owners(present) and config_of(present) == config_of(wanted):
            return uid_of(present)
        if present is not None:  # it goes with a workflow that is gone, or holds another text
            change(
                self._api,
                "DELETE",
                self._config(name),
                name,
                make_delete_options(uid_of(present), "Background"),
            )
        return uid_of(self._api.call("POST", self._config(), body=wanted))

    def _drop(self, name: str, uid: str) -> None:
        try:
            change(
                self._api,
                "DELETE",
                self._config(name),
                name,
                make_delete_options(uid, "Background"),
            )
        except CallFailed as error:  # the next try of this name takes it up, or replaces it
            log.warning(
                "A ConfigMap stays behind without its workflow.", config_map=name, error=str(error)
            )

    # -- the Workflow ----------------------------------------------------------------------------------------------

    def _make_workflow(
        self, workflow: dict[str, Any], name: str, config_uid: str
    ) -> dict[str, Any]:
        try:
            return self._api.call("POST", self._workflow(), body=workflow)
        except CallFailed as error:
            meant = of_a_create(error)
            if not self._may_need_config(meant, name, workflow):
                self._drop(name, config_uid)
            raise meant from error

    def _may_need_config(self, meant: EngineError, name: str, workflow: dict[str, Any]) -> bool:
        """Whether a workflow of this job may be there all the same: unknown, or made by another leader meanwhile."""
        if isinstance(meant, EngineUnavailable):
            return True
        try:
            present = get_or_none(self._api, self._workflow(name), name)
        except CallFailed:
            return True
        if present is None:
            return isinstance(meant, WorkflowExists)  # it was there a moment ago
        return job_label(present) == job_label(workflow)

    def _tie(self, name: str, uid: str) -> None:
        try:
            self._api.call("PATCH", self._config(name), body=make_owner_patch(name, uid))
        except (
            CallFailed
        ) as error:  # the workflow is made all the same; `drop_orphan` finds what is not tied
            log.warning(
                "A ConfigMap is not tied to its workflow.", config_map=name, error=str(error)
            )

    def _workflow(self, name: str = "") -> str:
        return workflows_path(self._namespace, name)

    def _config(self, name: str = "") -> str:
        return config_maps_path(self._namespace, name)


def _before_the_workflow(error: CallFailed) -> EngineError:
    """What a failed call means before the workflow was to be made: whatever is unknown of it, no workflow was made."""
    meant = of_a_create(error)
    is_not_made = isinstance(meant, EngineUnavailable | WorkflowExists)
    return WorkflowNotMade(str(meant), meant.retry_after_s) if is_not_made else meant
