"""This module defines what was seen beside a Workflow: its pod, its node and its log."""

from dataclasses import dataclass
from typing import Any

from scheduler.engines.argo.status.fields import main_state, seconds


@dataclass(frozen=True)
class Sight:
    """A sight is what was seen beside a Workflow.

    If `pod` is None there is no pod, provided that the API server was `asked`.
    """

    asked: bool = False
    pod: dict[str, Any] | None = None
    event: str = ""  #: the newest warning about the pod
    node_lost: bool = False
    log_tail: tuple[str, ...] = ()
    started_at: float | None = None  #: as seen earlier

    @property
    def container_started_at(self) -> float | None:
        """Return when the main container started, by its pod or as seen earlier."""
        state = main_state(self.pod, "running") or main_state(self.pod, "terminated")
        return seconds(state.get("startedAt")) or self.started_at


NO_SIGHT = Sight()
