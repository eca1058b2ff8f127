"""This module defines the phases of a job and which phase may follow which."""

from enum import StrEnum


class Phase(StrEnum):
    """A job is in exactly one phase, which the API calls `status`."""

    QUEUED = "queued"  #: waits in `job_queue`
    #: holds a slot, and GPUs are promised to it; its container has not been seen running yet
    ADMITTED = "admitted"
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
#: The Lua scripts get this table too (store/connection.py), so that it exists only once.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.ADMITTED, Phase.CANCELLED, Phase.FAILED}),
    Phase.ADMITTED: frozenset({Phase.RUNNING, Phase.QUEUED, Phase.FAILED, Phase.CANCELLED}),
    Phase.RUNNING: frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.QUEUED}),
    Phase.SUCCEEDED: frozenset(),
    Phase.FAILED: frozenset({Phase.QUEUED}),
    Phase.CANCELLED: frozenset({Phase.QUEUED}),
}
