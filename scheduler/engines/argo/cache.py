"""This module knows the state of all workflows, for one list call per cycle.

What has ended is remembered, because it does not change any more. A list returns the workflows that
Argo has not labelled as completed. One that was seen live and is missing there has ended, was
deleted, or lost its labels to an edit: it is asked for by name. Everything is listed only at the
start and from time to time, page by page.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from jobqueue.service.log import get_logger
from scheduler.clocks import Clocks
from scheduler.engines.argo.errors import Api, Refused, get_or_none, is_of_one
from scheduler.engines.argo.inspector import Inspector, Known
from scheduler.engines.argo.lister import Lister
from scheduler.engines.argo.manifests import OPEN, OURS, name_of, uid_of, workflows_path
from scheduler.engines.argo.pods import Pods
from scheduler.engines.argo.status.fields import as_dict, identity, is_final, seconds
from scheduler.engines.argo.status.sight import NO_SIGHT
from scheduler.engines.argo.status.status import status_of
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus

log = get_logger(__name__)

#: How often everything is listed (s).
ALL_S = 600


class WorkflowCache:
    """The cache holds the workflows of one namespace."""

    def __init__(
        self, api: Api, pods: Pods, clocks: Clocks, look_back: int, node_age_s: float
    ) -> None:
        """`look_back`: of the workflows that ended unseen, the newest so many are inspected.

        `node_age_s`: how old the known readiness of a node may be, in seconds.
        """
        self.inspector = Inspector(pods, clocks, node_age_s)
        self.lister = Lister(api, pods.namespace)
        self._api = api
        self._pods = pods
        self._clocks = clocks
        self._look_back = look_back
        self._known: dict[str, Known] = {}
        self._all_at: float | None = None
        self._keep_alive: Callable[[], None] = lambda: None

    def created(self, workflow: dict[str, Any]) -> None:
        """Remember a workflow that was just created: it may end before the next list."""
        self._known[name_of(workflow)] = Known(self._plain(workflow))

    def forget(self, workflow: WorkflowStatus) -> None:
        """Forget a workflow that was deleted: lists would not show that."""
        known = self._known.get(workflow.name)
        if known is not None and known.status.uid == workflow.uid:
            del self._known[workflow.name]

    def all(self, keep_alive: Callable[[], None]) -> list[WorkflowStatus]:
        """Return all workflows of ours; `keep_alive` is called between the steps."""
        self._keep_alive = keep_alive
        self._pods.begin_cycle()
        now = self._clocks.monotonic()
        if self._all_at is None or now - self._all_at > ALL_S:
            self._list_all()
            self._all_at = self._clocks.monotonic()
        else:
            self._list_open()
        self._drop_log_tails()
        return [known.status for known in self._known.values()]

    def one(self, name: str, closely: bool = True) -> WorkflowStatus | None:
        """Return a workflow by name, even if it is not ours; None if there is none."""
        path = workflows_path(self._pods.namespace, name)
        workflow = get_or_none(self._api, path, name)
        if workflow is None:
            self._known.pop(name, None)
            return None
        if identity(workflow)[0] or self._knows(workflow):
            return self._update(workflow, closely)
        return self._plain(workflow)

    # -- lists -----------------------------------------------------------------------------------

    def _list_open(self) -> None:
        seen = set()
        for workflow in self._ours(OPEN):
            seen.add(name_of(workflow))
            self._update(workflow)
        for name, known in list(self._known.items()):
            if name not in seen and known.status.is_live:
                self._ask_again(name)

    def _list_all(self) -> None:
        """List all workflows, and inspect the newest of those that ended unseen."""
        unseen: dict[str, WorkflowStatus] = {}
        newest: list[dict[str, Any]] = []
        seen = set()
        for workflow in self._ours(OURS):
            name = name_of(workflow)
            seen.add(name)
            if not is_final(workflow) or self._knows(workflow):
                self._update(workflow)
            else:
                unseen[name] = self._plain(workflow)
                newest = sorted([*newest, workflow], key=_ended_at)[-self._look_back :]
        for workflow in newest:
            unseen[name_of(workflow)] = self._update(workflow)
        self._drop_missing(seen)
        for name, status in unseen.items():
            self._known.setdefault(name, Known(status))

    def _drop_missing(self, seen: set[str]) -> None:
        for name, known in list(self._known.items()):
            if name not in seen and known.status.is_live:
                self._ask_again(name)  # deleted, or an edit hides it from every list
            elif name not in seen:
                del self._known[name]

    def _ours(self, selector: str) -> Iterator[dict[str, Any]]:
        """Yield the workflows that a selector finds; one whose labels name no job is not ours."""
        for page in self.lister.pages(selector, self._keep_alive):
            for workflow in page:
                if identity(workflow)[0] or self._knows(workflow):
                    yield workflow
                else:
                    log.warning("Workflow labels name no job.", workflow=name_of(workflow))

    def _ask_again(self, name: str) -> None:
        """Ask for a workflow that lists no longer show; if that is refused, keep its last state."""
        try:
            self.one(name, closely=False)
        except Refused as error:
            if not is_of_one(error):
                raise
            log.warning("Workflow cannot be read.", workflow=name, error=str(error))

    def _drop_log_tails(self) -> None:
        """Drop the log tails of all but the newest: a thousand of them would fill the memory."""
        ended = [known for known in self._known.values() if known.status.log_tail]
        ended.sort(key=lambda known: known.status.finished_at or 0)
        for known in ended[: -self._look_back]:
            known.status = replace(known.status, log_tail=())

    # -- one workflow ----------------------------------------------------------------------------

    def _plain(self, workflow: dict[str, Any]) -> WorkflowStatus:
        """Return the status that the workflow alone shows."""
        return status_of(workflow, NO_SIGHT, self._clocks.wall())

    def _knows(self, workflow: dict[str, Any]) -> bool:
        known = self._known.get(name_of(workflow))
        return known is not None and known.status.uid == uid_of(workflow)

    def _update(self, workflow: dict[str, Any], closely: bool = False) -> WorkflowStatus:
        name = name_of(workflow)
        if not self._knows(workflow):
            self._known[name] = Known(replace(self._plain(workflow), phase=WorkflowPhase.RUNNING))
        known = self._known[name]
        # A person's `argo retry` revives one that has ended.
        if known.status.is_live or not is_final(workflow):
            self._keep_alive()
            sight = self.inspector.inspect(workflow, known, closely)
            before = known.status
            known.status = status_of(workflow, sight, self._clocks.wall())
            if not known.status.job_id:  # an edit removed its labels; its uid is still the same
                known.status = replace(known.status, job_id=before.job_id, attempt=before.attempt)
            known.started_at = known.status.started_at
        return known.status


def _ended_at(workflow: dict[str, Any]) -> float:
    return seconds(as_dict(workflow.get("status")).get("finishedAt")) or 0.0
