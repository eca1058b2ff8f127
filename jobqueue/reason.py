"""The reason for a job's phase: a code from a closed list, a sentence for people, and a quoted log line."""

import json
from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """The closed list of reasons. A new one is added here and where it arises (CONTRIBUTING.md)."""

    # queued: why it waits
    SUBMITTED = "submitted"  #: just came in; the scheduler has not looked at it yet
    RESTORED = "restored"  #: put back from a backup (gpuq admin restore); the scheduler has not looked at it yet
    WAITING_TURN = "waiting_turn"  #: others are ahead in the queue
    SLOTS_FULL = "slots_full"  #: first in line, but MAX_RUNNING_JOBS are running
    USER_LIMIT = "user_limit"  #: its user already runs MAX_RUNNING_PER_USER
    RESOURCES_BUSY = "resources_busy"  #: no node passes the gate: GPU, CPU or memory are in use
    MONITOR_UNAVAILABLE = "monitor_unavailable"  #: no monitor gives an answer that can be trusted
    NEVER_FITS = "never_fits"  #: asks for more GPUs than any known node has
    TEMPLATE_INVALID = "template_invalid"  #: its template cannot be used until an admin fixes it
    CREATE_FAILED = (
        "create_failed"  #: the engine could not create its workflow; retried with backoff
    )
    NAME_IN_USE = "name_in_use"  #: the object of an earlier attempt is still being deleted
    ENGINE_UNREACHABLE = "engine_unreachable"  #: the engine did not answer
    CONTROLLER_DOWN = "controller_down"  #: no Argo controller processes its workflow
    OBJECT_REFUSED = "object_refused"  #: the API server refuses one of its objects
    HALTED = "halted"  #: the scheduler admits nothing until somebody acts
    #: no scheduler has reported for a while (set by the API alone, never stored)
    SCHEDULER_NOT_RESPONDING = "scheduler_not_responding"
    # queued again
    SCHEDULER_RESTARTED = "scheduler_restarted"  #: admitted, but its workflow was never made
    GPU_BUSY = "gpu_busy"  #: exit 75: the GPU was taken after all
    EVICTED = "evicted"  #: stopped by somebody else than its user; goes on from its checkpoint
    RETRIED = "retried"  #: a person asked for another attempt
    # admitted, running
    ADMITTED = "admitted"
    STARTING = "starting"  #: its workflow exists, its container has not started
    SHORT_OF_GPUS = "short_of_gpus"  #: its node has no GPU to give it now; also of a job withdrawn from such a node
    UNSCHEDULABLE = "unschedulable"  #: its node does not take it now, for another reason; also of one withdrawn from it
    NODE_LOST = "node_lost"  #: its node does not answer, so nobody can say whether it runs
    RUNNING = "running"
    CANCELLING = "cancelling"  #: a cancel was asked for; its container is being stopped
    # finished
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    WORKFLOW_DELETED = "workflow_deleted"  #: its workflow was deleted or terminated by hand
    TRAINING_FAILED = "training_failed"  #: exit 1
    BAD_CONFIG = "bad_config"  #: exit 2: the training refused its configuration or data
    KILLED = "killed"  #: ended by a signal that was not ours (SIGKILL: often the kernel for want of memory)
    TIME_LIMIT = "time_limit"
    REJECTED = "rejected"  #: the engine refuses the workflow for good
    NAME_TAKEN = "name_taken"  #: an object that is not ours bears the workflow's name
    REQUEUE_LIMIT = "requeue_limit"
    START_DEADLINE = "start_deadline"  #: its container did not start in time
    INTERNAL_ERROR = "internal_error"  #: handling it raised an unexpected error three times


#: Reasons of an admitted or running job with which nobody can say when it ends: it holds its slot until somebody acts.
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


#: The scheduler considers this many jobs at the head of the queue in a cycle, and writes their reasons.
REASONS_WRITTEN = 100

#: Codes that earlier versions wrote, and what they are called now.
_RENAMED = {
    "poison": ReasonCode.INTERNAL_ERROR,
    "engine_unavailable": ReasonCode.ENGINE_UNREACHABLE,
    "scheduler_away": ReasonCode.SCHEDULER_NOT_RESPONDING,
}
#: Earlier versions wrote the quoted log line of these behind the first colon of the message.
_QUOTED_THE_LOG = frozenset({"training_failed", "bad_config", "gpu_busy"})


@dataclass(frozen=True)
class Reason:
    """`code` is for machines; `message` (one sentence) is for everybody; `detail` is for the job's user alone."""

    code: str  #: a ReasonCode; another word only if a newer version wrote it
    message: str
    detail: str = ""  #: a line of the job's log, quoted

    @classmethod
    def read(cls, code: str, message: str, detail: str | None = None) -> "Reason":
        """Return a stored reason. `detail` is None in records of versions that did not know the field.

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
        """Return what everybody may see of the reason: a log belongs to its user."""
        return Reason(self.code, self.message)

    @property
    def sentence(self) -> str:
        """The message with the quoted log line, for those who may see it."""
        return f"{self.message.rstrip('.')}: {self.detail}" if self.detail else self.message


_KNOWN = frozenset(ReasonCode)
