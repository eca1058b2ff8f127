"""This module declares the job: what a user submits, the entry in the queue, and the full record.

Each field of a submission and of a record is declared here once; `jobqueue.codec.fields` derives
the Redis hash, the API answer, the backup and the JSON Schema from the declaration.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jobqueue.codec.fields import BY_SCRIPTS, IN_BACKUP, INTERNAL, LARGE, Fields
from jobqueue.errors import CorruptEntry
from jobqueue.phase import Phase
from jobqueue.reason import Reason
from jobqueue.user import broken_by_user

ENTRY_VERSION = 1


@dataclass(frozen=True)
class JobSpec:
    """A submission that was checked, with the text of its config at that time, is a JobSpec."""

    user: str
    #: name of a file below the config folder (`config.yaml` if the text came inline)
    config: str
    workdir: str  #: absolute, as people write it: /data/<user>/…
    config_text: str = field(default="", repr=False, metadata=LARGE)
    name: str = ""  #: a label for people
    gpus: int = 1
    time_limit_s: int | None = None
    workflow: str = "proto-gcn"  #: the name of the template

    FIELDS: ClassVar[Fields]

    def to_hash(self) -> dict[str, str]:
        """Return the submission as fields of a Redis hash."""
        return self.FIELDS.to_hash(self)

    @classmethod
    def from_hash(cls, record: Mapping[str, str]) -> "JobSpec":
        """Read what `to_hash` wrote; raises KeyError, ValueError, TypeError."""
        return cls(**cls.FIELDS.from_hash(record))


JobSpec.FIELDS = Fields(JobSpec)


@dataclass(frozen=True)
class QueueEntry:
    """An element of `job_queue` or of `running_jobs` is a queue entry.

    Its first four fields are those of `docs/founding-document.md`.
    """

    user: str
    config: str
    workdir: str
    timestamp: str
    job_id: str
    v: int = ENTRY_VERSION

    def encode(self) -> str:
        """Return the entry as JSON."""
        return json.dumps(self.__dict__, ensure_ascii=False)

    @classmethod
    def decode(cls, raw: str) -> "QueueEntry":
        """Read an entry.

        Raises CorruptEntry if it is not JSON, lacks a field, or has an unknown version.
        """
        try:
            data = json.loads(raw)
            entry = cls(**data)
        except (ValueError, TypeError, RecursionError) as error:
            raise CorruptEntry(raw, str(error)) from error
        if entry.v != ENTRY_VERSION:
            raise CorruptEntry(raw, f"version {entry.v!r} is unknown")
        texts = (entry.user, entry.config, entry.workdir, entry.job_id)
        if not all(isinstance(value, str) for value in texts):
            raise CorruptEntry(raw, "a field is not a text")
        return entry


def check_whole(entry: QueueEntry, spec: JobSpec) -> None:
    """Raise ValueError unless both belong to one submission and are safe in keys and commands."""
    if not all(isinstance(value, str) for value in spec.to_hash().values()) or spec.gpus < 1:
        raise ValueError("a field has a value of the wrong type")
    if (entry.user, entry.config, entry.workdir) != (spec.user, spec.config, spec.workdir):
        raise ValueError("the queue entry and the record belong to different submissions")
    broken = broken_by_user(spec.user)
    if broken:
        raise ValueError(f"user {broken}")
    if not re.fullmatch(rf"{spec.user}_[0-9]{{14}}(_[0-9]{{1,9}})?", entry.job_id):
        raise ValueError(f"{entry.job_id!r} is not the id of a job of {spec.user}")


@dataclass(frozen=True)
class Result:
    """The record of a finished job keeps how its container ended."""

    exit_code: int | None = None
    log_tail: tuple[str, ...] = field(default=(), metadata=LARGE)

    FIELDS: ClassVar[Fields]


Result.FIELDS = Fields(Result)


@dataclass(frozen=True)
class Job:
    """The full record of a job is stored in `job:<job_id>`.

    Times are seconds since the epoch; None means that the event has not happened.
    """

    job_id: str
    spec: JobSpec
    entry: str = field(metadata=INTERNAL)  #: the JSON of the queue entry; never re-encoded
    phase: Phase = field(metadata=BY_SCRIPTS)
    reason: Reason
    submitted_at: float = field(metadata=IN_BACKUP)
    queued_at: float = field(metadata=IN_BACKUP)
    admitted_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    cancel_requested_at: float | None = field(default=None, metadata=BY_SCRIPTS)
    attempt: int = field(default=1, metadata=IN_BACKUP)
    requeues: int = field(default=0, metadata=IN_BACKUP)
    #: number of internal errors while handling the job since it last ran
    breaks: int = field(default=0, metadata=BY_SCRIPTS | INTERNAL)
    slot: str | None = field(default=None, metadata=BY_SCRIPTS | INTERNAL)
    #: the engine that runs it; None in records of versions with one engine
    engine: str | None = field(default=None, metadata=INTERNAL)
    node: str | None = None
    gpu_uuids: tuple[str, ...] = ()
    workflow_name: str | None = None
    workflow_uid: str | None = field(default=None, metadata=INTERNAL)
    #: the uid of a workflow that is being deleted so that the job can start on another node
    withdrawn_uid: str | None = field(default=None, metadata=BY_SCRIPTS | INTERNAL)
    #: the start deadline counts from here: until then, the delay was not the job's fault
    waited_until: float | None = field(default=None, metadata=BY_SCRIPTS | INTERNAL)
    result: Result = Result()

    FIELDS: ClassVar[Fields]
    #: The stored fields that are fetched for lists: all but the large ones.
    LIST_FIELDS: ClassVar[tuple[str, ...]]

    @property
    def run_folder(self) -> str:
        """Return the folder that the training writes to, as people write it (below /data)."""
        return f"{self.spec.workdir}/runs/{self.job_id}"

    @classmethod
    def from_hash(cls, record: Mapping[str, str]) -> "Job":
        """Read a record; fields that were not fetched keep their defaults. Raises CorruptEntry."""
        try:
            message = record.get("reason_message", "")
            return cls(
                spec=JobSpec.from_hash(record),
                reason=Reason.read(record["reason_code"], message, record.get("reason_detail")),
                result=Result(**Result.FIELDS.from_hash(record)),
                **cls.FIELDS.from_hash(record),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise CorruptEntry(json.dumps(dict(record))[:500], f"record: {error!r}") from error

    def to_hash(self) -> dict[str, str]:
        """Return the record as `from_hash` reads it, without what only the scripts write."""
        own = self.FIELDS.to_hash(self)
        return self.spec.to_hash() | own | Result.FIELDS.to_hash(self.result)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as the API shows it (times in RFC 3339)."""
        head = {
            "job_id": self.job_id,
            "user": self.spec.user,
            "status": self.phase.value,
            "reason": self.reason.to_dict(),
            "name": self.spec.name,
        }
        spec = JobSpec.FIELDS.shown(self.spec)
        own = self.FIELDS.shown(self)
        del own["phase"]  # its name in the API is `status`
        result = Result.FIELDS.shown(self.result)
        return head | spec | own | result | {"run_folder": self.run_folder}


Job.FIELDS = Fields(Job)
_REASON_FIELDS = ("reason_code", "reason_message", "reason_detail")
_ALL = (JobSpec.FIELDS, Job.FIELDS, Result.FIELDS)
Job.LIST_FIELDS = _REASON_FIELDS + tuple(name for each in _ALL for name in each.listed)

#: What everybody may see of a job, by its names in the API; the rest is for its user and admins.
PUBLIC = ("job_id", "user", "config", "status", "submitted_at", "started_at", "finished_at")
