"""This module keeps a job for a while from a node where the GPU was in use (exit 75)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scheduler.decide.capacity import Node

COOLDOWN_S = 60.0


@dataclass
class _Cooldown:
    until: float  # monotonic
    seen_busy: bool = False


class Cooldowns:
    """(job id, node) pairs, each until the node was seen busy and free again, or for a minute.

    Lost with the process: then the trainer itself finds the GPU in use once more.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._cooldowns: dict[tuple[str, str], _Cooldown] = {}

    def add(self, job_id: str, node: str) -> None:
        """Begin a cooldown."""
        self._cooldowns[job_id, node] = _Cooldown(self._monotonic() + COOLDOWN_S)

    def update(self, nodes: Iterable[Node]) -> None:
        """End the cooldowns of nodes that were busy and are free again, and those that expired."""
        free_nodes = {node.name for node in nodes if node.snapshot and node.snapshot.available}
        for pair, cooldown in list(self._cooldowns.items()):
            is_free = pair[1] in free_nodes
            if (is_free and cooldown.seen_busy) or self._monotonic() > cooldown.until:
                del self._cooldowns[pair]
            cooldown.seen_busy = cooldown.seen_busy or not is_free

    def pairs(self) -> frozenset[tuple[str, str]]:
        """Return the pairs."""
        return frozenset(self._cooldowns)
