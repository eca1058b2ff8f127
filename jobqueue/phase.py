"""The phases of a job and which may follow which."""

from enum import StrEnum


class Phase(StrEnum):
    """Where a job stands; the HTTP field `status` carries it."""

    QUEUED = "queued"  #: waits in `job_queue`
    ADMITTED = "admitted"  #: holds a slot and a reservation; its workflow is being made or has no container yet
    RUNNING = "running"  #: its container was seen running
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        return self in FINISHED

    @property
    def holds_slot(self) -> bool:
        return self in (Phase.ADMITTED, Phase.RUNNING)


FINISHED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED})

#: Admitted or running back to queued is a requeue; failed or cancelled back to queued is a retry.
#: The Lua scripts are given this very table (store.py), so that there is one truth.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.ADMITTED, Phase.CANCELLED, Phase.FAILED}),
    Phase.ADMITTED: frozenset({Phase.RUNNING, Phase.QUEUED, Phase.FAILED, Phase.CANCELLED}),
    Phase.RUNNING: frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.QUEUED}),
    Phase.SUCCEEDED: frozenset(),
    Phase.FAILED: frozenset({Phase.QUEUED}),
    Phase.CANCELLED: frozenset({Phase.QUEUED}),
}
