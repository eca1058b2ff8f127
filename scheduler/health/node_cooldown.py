"""Nodes that a job is not sent to again for a while, because the GPU there was taken after all (exit 75)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scheduler.decide.capacity import Node

AVOID_S = 60.0


@dataclass
class _Avoided:
    until: float
    seen_busy: bool = False


class AvoidList:
    """(job id, node) pairs; each until the node was seen busy and free again, or for a minute.

    Lost with the process: then the trainer itself finds the GPU busy once more.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._avoided: dict[tuple[str, str], _Avoided] = {}

    def add(self, job_id: str, node: str) -> None:
        self._avoided[job_id, node] = _Avoided(self._monotonic() + AVOID_S)

    def look_at(self, nodes: Iterable[Node]) -> None:
        """Forget what has been busy and is free again, and what is a minute old."""
        available = {
            node.name: node.snapshot is not None and node.snapshot.available for node in nodes
        }
        for pair, avoided in list(self._avoided.items()):
            free = available.get(pair[1], False)
            if (free and avoided.seen_busy) or self._monotonic() > avoided.until:
                del self._avoided[pair]
            avoided.seen_busy = avoided.seen_busy or not free

    def pairs(self) -> frozenset[tuple[str, str]]:
        return frozenset(self._avoided)
