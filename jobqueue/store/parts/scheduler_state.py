"""This module reads the scheduler's reports, and stores the requests of admins."""

import json
from typing import Any

from jobqueue.clock import seconds
from jobqueue.store import keys
from jobqueue.store.connection import Connection

_DEAD = "node_dead:"  # the prefix of such fields in the hash `admin`


class SchedulerState(Connection):
    """This part reads heartbeat, nodes and quarantine; it reads and writes admins' requests."""

    def heartbeat(self) -> dict[str, Any] | None:
        with self._translated():
            text = self._redis.get(keys.HEARTBEAT)
        return json.loads(text) if text else None

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the last answer of each node's monitor: `snapshot` or `error`, and `at`.

        `at` is None if the record cannot be read.
        """
        with self._translated():
            return {
                node: _node_record(text)
                for node, text in sorted(self._redis.hgetall(keys.NODES).items())
            }

    def quarantine_length(self) -> int:
        with self._translated():
            return int(self._redis.llen(keys.QUARANTINE))

    def resume_requested_at(self) -> float:
        """Return when an admin last asked a halted scheduler to resume; 0 = never."""
        with self._translated():
            return float(self._redis.hget(keys.ADMIN, "resume_requested_at") or 0)

    def request_resume(self, at: float) -> None:
        with self._translated():
            self._redis.hset(keys.ADMIN, "resume_requested_at", at)

    def dead_nodes(self) -> dict[str, float]:
        """Return the nodes that an admin has declared dead, with the time."""
        with self._translated():
            asked = self._redis.hgetall(keys.ADMIN)
        return {
            name.removeprefix(_DEAD): float(at)
            for name, at in asked.items()
            if name.startswith(_DEAD)
        }

    def declare_dead(self, node: str, at: float) -> None:
        with self._translated():
            self._redis.hset(keys.ADMIN, _DEAD + node, at)

    def declare_alive(self, node: str) -> bool:
        """Withdraw the declaration; return False if there was none."""
        with self._translated():
            return bool(self._redis.hdel(keys.ADMIN, _DEAD + node))


def _node_record(text: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(text)
        seconds(record["at"])
    except (ValueError, TypeError, KeyError):  # edited manually; the next cycle writes it again
        error = "the data about this node in Redis cannot be read"
        return {"at": None, "snapshot": None, "error": error}
    return record
