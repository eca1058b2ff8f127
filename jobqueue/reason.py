"""Why a job stands where it stands: one machine word of a closed list, and one sentence for a person."""

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
    ENGINE_UNAVAILABLE = (
        "engine_unavailable"  #: the engine (cluster, disk) refused or did not answer
    )
    HALTED = "halted"  #: the scheduler admits nothing until somebody acts
    SCHEDULER_AWAY = (
        "scheduler_away"  #: no scheduler has said anything for a while (only the API can tell)
    )
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
    POISON = "poison"  #: broke the scheduler three times


#: Reasons of an admitted or running job with which nobody can say when it ends: it holds its slot until somebody acts.
NO_KNOWN_END = frozenset(
    {
        ReasonCode.SHORT_OF_GPUS,
        ReasonCode.UNSCHEDULABLE,
        ReasonCode.NODE_LOST,
        ReasonCode.ENGINE_UNAVAILABLE,
    }
)


@dataclass(frozen=True)
class Reason:
    """`code` for machines, `message` (one sentence) for people."""

    code: str  #: a ReasonCode; another word only where a newer version wrote it
    message: str

    @classmethod
    def read(cls, code: str, message: str) -> "Reason":
        """A stored reason; a code that this version does not know yet stays the word that it is."""
        return cls(ReasonCode(code) if code in _KNOWN else code, message)

    def to_dict(self) -> dict[str, str]:
        return {"code": str(self.code), "message": self.message}


_KNOWN = frozenset(ReasonCode)
