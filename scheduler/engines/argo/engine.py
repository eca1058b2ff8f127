"""This module runs jobs in a cluster: as Argo Workflows, through the API server.

`cache.py` decides what is asked when; `status.py` and `errors.py` decide what an answer means.
"""

import threading
from collections.abc import Callable, Collection
from typing import Any

from scheduler.clocks import SYSTEM_CLOCKS, Clocks
from scheduler.engines.argo.cache import WorkflowCache
from scheduler.engines.argo.connection import Connection, load
from scheduler.engines.argo.create import Creator
from scheduler.engines.argo.errors import Api, change, engine_errors, get_or_none, of_a_call
from scheduler.engines.argo.manifests import (
    config_maps_path,
    config_of,
    job_label,
    make_delete_options,
    make_stop_patch,
    uid_of,
    workflows_path,
)
from scheduler.engines.argo.pods import Pods
from scheduler.engines.argo.watch import Watcher
from scheduler.engines.contract import Engine, Placement, WorkflowStatus

_LOOK_BACK = 32


class ArgoEngine(Engine):
    """This engine runs the workflows of one namespace."""

    name = "argo"
    pins_gpus = False

    def __init__(
        self,
        api: Api,
        namespace: str,
        *,
        look_back: int = _LOOK_BACK,
        node_age_s: float = 30.0,
        clocks: Clocks = SYSTEM_CLOCKS,
    ) -> None:
        """`look_back`: at least as many as run at once.

        `node_age_s`: how old the known readiness of a node may be, in seconds.
        """
        self._api = api
        self._namespace = namespace
        self._creator = Creator(api, namespace)
        self._cache = WorkflowCache(
            api,
            Pods(api, namespace, clocks.monotonic),
            clocks,
            max(look_back, _LOOK_BACK),
            node_age_s,
        )

    @classmethod
    def connect(
        cls,
        namespace: str,
        kubeconfig: str | None = None,
        request_timeout_s: float = 15.0,
        **options: Any,
    ) -> "ArgoEngine":
        """Connect with `kubeconfig` if it is named, else as a pod, else with KUBECONFIG.

        Raises CredentialsMissing.
        """
        return cls(Connection(lambda: load(kubeconfig), request_timeout_s), namespace, **options)

    def create(self, workflow: dict[str, Any], config_text: str, placement: Placement) -> str:
        """Create a workflow; the placement is already in it, as node affinity."""
        created = self._creator.create(workflow, config_text)
        self._cache.created(created)
        return uid_of(created)

    def get(self, name: str) -> WorkflowStatus | None:
        """Return a workflow by name, after a close look at its pod."""
        with engine_errors(of_a_call):
            return self._cache.one(name)

    def workflows(self) -> list[WorkflowStatus]:
        """Return all workflows of the namespace that gpuq created."""
        with engine_errors():
            return self._cache.all(self.keep_alive)

    def nodes_answering(self, nodes: Collection[str]) -> None:
        """Ask seldom about nodes whose monitors answered: they are not lost."""
        self._cache.inspector.answering = frozenset(nodes)

    def stop(self, workflow: WorkflowStatus) -> None:
        """Ask Argo to stop the workflow."""
        path = workflows_path(self._namespace, workflow.name)
        with engine_errors(of_a_call):
            change(self._api, "PATCH", path, workflow.name, make_stop_patch(workflow.uid))

    def delete(self, workflow: WorkflowStatus) -> None:
        """Delete the workflow and its ConfigMap."""
        path = workflows_path(self._namespace, workflow.name)
        with engine_errors(of_a_call):
            if change(self._api, "DELETE", path, workflow.name, make_delete_options(workflow.uid)):
                self._creator.drop_orphan(workflow.name, workflow.job_id)
        if not workflow.is_live:
            self._cache.forget(workflow)

    def clear(self, name: str, job_id: str) -> None:
        """Delete a ConfigMap that was created for a workflow that never was."""
        with engine_errors(of_a_call):
            self._creator.drop_orphan(name, job_id)

    def config_text(self, workflow: WorkflowStatus) -> str | None:
        """Return the config from the workflow's ConfigMap."""
        path = config_maps_path(self._namespace, workflow.name)
        with engine_errors(of_a_call):
            config_map = get_or_none(self._api, path, workflow.name)
        if config_map is None or job_label(config_map) != workflow.job_id:
            return None
        return config_of(config_map)

    def watch(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        """Follow a watch of the API server."""
        path = workflows_path(self._namespace)
        Watcher(self._api, path, self._cache.lister.version, on_change).run(stopping)
