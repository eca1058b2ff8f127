"""This module remembers facts about nodes from one cycle to the next."""

from collections.abc import Callable, Collection, Mapping

from scheduler.decide.report import HURRY_S

#: How long a node that did not accept a job's pod is sent no other, since that was last seen (s).
NOT_ACCEPTING_S = 60.0


class NodeHistory:
    """The history has the nodes where jobs ended lately, and those that did not accept a job."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._ended: dict[str, float] = {}  # node -> when
        self._not_accepting: dict[str, tuple[float, str]] = {}  # node -> until when, and why

    def ended_on(self, nodes: Collection[str]) -> None:
        """Note that jobs of ours ended there now."""
        for node in nodes:
            self._ended[node] = self._monotonic()

    def started_on(self, nodes: Collection[str]) -> None:
        """Note that jobs of ours started there: these nodes accept jobs."""
        for node in nodes:
            self._not_accepting.pop(node, None)

    def did_not_accept(self, nodes: Mapping[str, str]) -> None:
        """Note the nodes that did not accept a job's pod, and why."""
        for node, why in nodes.items():
            self._not_accepting[node] = (self._monotonic() + NOT_ACCEPTING_S, why)

    def windows_s(self) -> dict[str, float]:
        """Return, for nodes where a job ended lately, how far back a measurement may reach (s)."""
        now = self._monotonic()
        self._ended = {node: at for node, at in self._ended.items() if now - at < HURRY_S}
        return {node: now - at for node, at in self._ended.items()}

    def not_accepting(self) -> dict[str, str]:
        """Return the nodes that get no job now, and why."""
        now = self._monotonic()
        known = self._not_accepting.items()
        self._not_accepting = {node: entry for node, entry in known if now < entry[0]}
        return {node: why for node, (_, why) in self._not_accepting.items()}
