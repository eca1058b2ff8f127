"""This module writes the heartbeat: what the last cycle did, and whether the scheduler is halted.

The API reads it, so that users are told why nothing starts.
"""

from collections.abc import Callable, Iterable

from jobqueue.clock import rfc3339
from jobqueue.errors import GpuqError
from jobqueue.store.leader import Leader
from scheduler.decide.capacity import Node
from scheduler.health.lead import Lead
from scheduler.health.outage import Outages


class Heartbeat:
    """The heartbeat is written together with the answer of each node's monitor."""

    def __init__(
        self, lead: Lead, outages: Outages, poll_interval_s: float, clock: Callable[[], float]
    ) -> None:
        self._lead = lead
        self._outages = outages
        self._poll_interval_s = poll_interval_s
        self._clock = clock
        self._problem = ""  # why the last cycle failed

    def write(self, leader: Leader, summary: str, nodes: Iterable[Node]) -> None:
        """Write the heartbeat of a cycle that succeeded."""
        self._problem = ""
        at = rfc3339(self._clock())
        leader.observe(self._record(summary), {node.name: _answer(node, at) for node in nodes})

    def write_problem(self, problem: str) -> None:
        """Write the heartbeat of a cycle that failed: the scheduler runs, and reports the error."""
        leader = self._lead.leader
        if leader is None:
            return
        self._problem = problem
        try:
            leader.observe(self._record(problem), {})
        except GpuqError:
            pass  # the next cycle meets it, and reports it

    def repeat_problem(self) -> None:
        """Write it again during a backoff, which may be longer than a heartbeat may be silent."""
        if self._problem:
            self.write_problem(self._problem)

    def _record(self, summary: str) -> dict[str, object]:
        halt = self._outages.halt
        return {
            "at": rfc3339(self._clock()),
            "summary": summary,
            "poll_interval_s": self._poll_interval_s,
            "halted": halt and halt.to_dict(),
            "holder": self._lead.holder,
        }


def _answer(node: Node, at: str) -> dict[str, object]:
    return {
        "at": at,
        "snapshot": node.snapshot and node.snapshot.encode(),
        "error": node.error or node.not_accepting or None,
    }
