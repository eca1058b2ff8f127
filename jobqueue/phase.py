"""This module declares the phases of a job and the transitions between them."""

from enum import StrEnum


class Phase(StrEnum):
    """The phase of a job; the API calls it `status`."""

    QUEUED = "queued"  #: waits in `job_queue`
    ADMITTED = "admitted"  #: has a slot, a node and GPUs; its container does not run yet
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
#: The Lua scripts get this table (store/connection.py), so it exists once.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.QUEUED: frozenset({Phase.ADMITTED, Phase.CANCELLED, Phase.FAILED}),
    Phase.ADMITTED: frozenset({Phase.RUNNING, Phase.QUEUED, Phase.FAILED, Phase.CANCELLED}),
    Phase.RUNNING: frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.QUEUED}),
    Phase.SUCCEEDED: frozenset(),
    Phase.FAILED: frozenset({Phase.QUEUED}),
    Phase.CANCELLED: frozenset({Phase.QUEUED}),
}
