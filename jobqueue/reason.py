"""This module declares the reason for a job's phase.

A reason is a code from a closed list, a sentence for people, and a quoted line of the job's log.
"""

import json
from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """The list of reason codes is closed; CONTRIBUTING.md describes how to add one."""

    # queued: why it waits
    SUBMITTED = "submitted"  #: the scheduler has not considered it yet
    #: restored from a backup; the scheduler has not considered it yet
    RESTORED = "restored"
    WAITING_TURN = "waiting_turn"  #: others are ahead in the queue
    SLOTS_FULL = "slots_full"  #: first in line, but MAX_RUNNING_JOBS jobs hold a slot
    USER_LIMIT = "user_limit"  #: its user has MAX_RUNNING_PER_USER jobs running
    RESOURCES_BUSY = "resources_busy"  #: no node passes the gate: GPU, CPU or memory are in use
    MONITOR_UNAVAILABLE = "monitor_unavailable"  #: no monitor returns a usable answer
    NEVER_FITS = "never_fits"  #: it needs more GPUs than any known node has
    TEMPLATE_INVALID = "template_invalid"  #: its template cannot be used until an admin fixes it
    #: the engine could not create its workflow; retried with backoff
    CREATE_FAILED = "create_failed"
    NAME_IN_USE = "name_in_use"  #: the object of an earlier attempt is still being deleted
    ENGINE_UNREACHABLE = "engine_unreachable"  #: the engine did not answer
    CONTROLLER_DOWN = "controller_down"  #: no Argo controller processes its workflow
    OBJECT_REFUSED = "object_refused"  #: the API server refuses one of its objects
    HALTED = "halted"  #: the scheduler admits nothing until somebody acts
    #: no scheduler has reported for a while (set by the API alone, never stored)
    SCHEDULER_NOT_RESPONDING = "scheduler_not_responding"
    # queued again
    SCHEDULER_RESTARTED = (
        "scheduler_restarted"  #: it was admitted, but its workflow was never created
    )
    GPU_BUSY = "gpu_busy"  #: exit 75: its GPU was in use when it started
    EVICTED = "evicted"  #: the cluster removed its container; it resumes from its checkpoint
    RETRIED = "retried"  #: a person asked for another attempt
    # admitted, running
    ADMITTED = "admitted"
    STARTING = "starting"  #: its workflow exists, its container has not started
    #: its node has no free GPU; also of a job withdrawn from such a node
    SHORT_OF_GPUS = "short_of_gpus"
    #: its node cannot run it for another reason; also of a job withdrawn from such a node
    UNSCHEDULABLE = "unschedulable"
    NODE_LOST = "node_lost"  #: its node does not respond, so it is unknown whether the job runs
    RUNNING = "running"
    CANCELLING = "cancelling"  #: its user cancelled it; its container is being stopped
    # finished
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    WORKFLOW_DELETED = "workflow_deleted"  #: a person deleted or terminated its workflow
    TRAINING_FAILED = "training_failed"  #: exit 1
    BAD_CONFIG = "bad_config"  #: exit 2: the training refused its configuration or data
    KILLED = "killed"  #: ended by a signal that gpuq did not send (SIGKILL: often out of memory)
    TIME_LIMIT = "time_limit"
    REJECTED = "rejected"  #: the engine refuses the workflow permanently
    NAME_TAKEN = "name_taken"  #: an unmanaged object has the workflow's name
    REQUEUE_LIMIT = "requeue_limit"
    START_DEADLINE = "start_deadline"  #: its container did not start in time
    INTERNAL_ERROR = "internal_error"  #: handling it raised an unexpected error three times


#: Reasons of a job that keeps its slot for an unknown time, until a person or the cluster acts.
NO_KNOWN_END = frozenset(
    {
        ReasonCode.SHORT_OF_GPUS,
        ReasonCode.UNSCHEDULABLE,
        ReasonCode.NODE_LOST,
        ReasonCode.CREATE_FAILED,
        ReasonCode.ENGINE_UNREACHABLE,
        ReasonCode.CONTROLLER_DOWN,
        ReasonCode.OBJECT_REFUSED,
    }
)


#: In each cycle the scheduler considers this many jobs at the head of the queue and writes their
#: reasons.
REASONS_WRITTEN = 100

#: Codes that earlier versions wrote, with their present names.
_RENAMED = {
    "poison": ReasonCode.INTERNAL_ERROR,
    "engine_unavailable": ReasonCode.ENGINE_UNREACHABLE,
    "scheduler_away": ReasonCode.SCHEDULER_NOT_RESPONDING,
}
#: In reasons with these codes, earlier versions wrote the log line after the first colon.
_QUOTED_THE_LOG = frozenset({"training_failed", "bad_config", "gpu_busy"})


@dataclass(frozen=True)
class Reason:
    """Why a job is in its phase.

    `code` is for programs, `message` (one sentence) for everybody, `detail` for the user only.
    """

    code: str  #: a ReasonCode; another word only if a newer version wrote it
    message: str
    detail: str = ""  #: a line of the job's log, quoted

    @classmethod
    def read(cls, code: str, message: str, detail: str | None = None) -> "Reason":
        """Return a stored reason; `detail` is None in records of versions without that field.

        Codes of earlier versions are translated; a code of a newer version is kept as it is.
        """
        known = ReasonCode(code) if code in _KNOWN else _RENAMED.get(code, code)
        if detail is None and code in _QUOTED_THE_LOG and ": " in message:
            message, _, detail = message.partition(": ")
            return cls(known, f"{message}.", detail)
        return cls(known, message, detail or "")

    def encode(self) -> str:
        """Return the reason as JSON, as the Redis scripts take it."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, str]:
        """Return the reason as a JSON object."""
        return {"code": str(self.code), "message": self.message, "detail": self.detail}

    def without_detail(self) -> "Reason":
        """Return what everybody may see of the reason: a log is private to its user."""
        return Reason(self.code, self.message)

    @property
    def sentence(self) -> str:
        """Return the message with the quoted log line, for those who may see it."""
        return f"{self.message.rstrip('.')}: {self.detail}" if self.detail else self.message


_KNOWN = frozenset(ReasonCode)
