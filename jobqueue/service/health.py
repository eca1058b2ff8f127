"""This module declares what can be wrong with Redis or the scheduler, as codes with sentences."""

from dataclasses import dataclass
from enum import StrEnum


class ProblemCode(StrEnum):
    """A problem means that a job submitted now might not be kept or started."""

    REDIS_UNAVAILABLE = "redis_unavailable"  #: no answer, or Redis refuses the command
    REDIS_TOO_OLD = "redis_too_old"
    REDIS_EVICTS = "redis_evicts"  #: its memory policy allows it to drop queued jobs
    SCHEDULER_NOT_RESPONDING = "scheduler_not_responding"  #: no recent heartbeat
    SCHEDULER_HEARTBEAT_UNREADABLE = "scheduler_heartbeat_unreadable"
    SCHEDULER_HALTED = "scheduler_halted"  #: it admits nothing until Redis or the engine is back


class WarningCode(StrEnum):
    """A warning weakens the promise that an acknowledged job is never lost."""

    AOF_OFF = "aof_off"  #: Redis keeps no append-only file
    APPENDFSYNC_NOT_ALWAYS = "appendfsync_not_always"
    CONFIG_REFUSED = "config_refused"  #: Redis does not show its settings


@dataclass(frozen=True)
class HealthProblem:
    """`code` is for programs; `message` is one sentence with the remedy, for people."""

    code: ProblemCode
    message: str


@dataclass(frozen=True)
class HealthWarning:
    """`code` is for programs; `message` is one sentence with the remedy, for people."""

    code: WarningCode
    message: str

    def to_dict(self) -> dict[str, str]:
        """Return the warning as a JSON object."""
        return {"code": self.code.value, "message": self.message}
