"""The job: what a user submits, what stands in the queue, and the full record."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jobqueue.clock import rfc3339, seconds
from jobqueue.errors import CorruptEntry
from jobqueue.phase import Phase
from jobqueue.reason import Reason
from jobqueue.user import broken_by_user

ENTRY_VERSION = 1


@dataclass(frozen=True)
class JobSpec:
    """What the user wrote, checked, and the text of the config as it was at submission."""

    user: str
    config: (
        str  #: name of a file below the config folder (`config.yaml` where the text came inline)
    )
    workdir: str  #: absolute, as people write it: /data/<user>/…
    config_text: str = field(default="", repr=False)
    name: str = ""  #: a label for people
    gpus: int = 1
    time_limit_s: int | None = None
    workflow: str = "proto-gcn"  #: the template's name

    def to_hash(self) -> dict[str, str]:
        return {
            "user": self.user,
            "config": self.config,
            "workdir": self.workdir,
            "config_text": self.config_text,
            "name": self.name,
            "gpus": str(self.gpus),
            "time_limit_s": "" if self.time_limit_s is None else str(self.time_limit_s),
            "workflow": self.workflow,
        }

    @classmethod
    def from_hash(cls, record: Mapping[str, str]) -> "JobSpec":
        """The inverse of `to_hash`; raises KeyError, ValueError, TypeError."""
        limit = record.get("time_limit_s")
        return cls(
            user=record["user"],
            config=record["config"],
            workdir=record["workdir"],
            config_text=record.get("config_text", ""),
            name=record.get("name", ""),
            gpus=int(record.get("gpus") or 1),
            time_limit_s=int(limit) if limit else None,
            workflow=record.get("workflow") or "proto-gcn",
        )


@dataclass(frozen=True)
class QueueEntry:
    """One element of `job_queue` and of `running_jobs`: the founding document's four fields, then `job_id` and `v`."""

    user: str
    config: str
    workdir: str
    timestamp: str
    job_id: str
    v: int = ENTRY_VERSION

    def encode(self) -> str:
        return json.dumps(self.__dict__, ensure_ascii=False)

    @classmethod
    def decode(cls, raw: str) -> "QueueEntry":
        """Read an entry; raises CorruptEntry where it is not JSON, lacks a field, or is of an unknown version."""
        try:
            data = json.loads(raw)
            entry = cls(**data)
        except (ValueError, TypeError, RecursionError) as error:
            raise CorruptEntry(raw, str(error)) from error
        if entry.v != ENTRY_VERSION:
            raise CorruptEntry(raw, f"version {entry.v!r} is unknown here")
        if not all(
            isinstance(value, str)
            for value in (entry.user, entry.config, entry.workdir, entry.job_id)
        ):
            raise CorruptEntry(raw, "a field is not text")
        return entry


def check_whole(entry: QueueEntry, spec: JobSpec) -> None:
    """Raises ValueError unless the two are of one submission, and nothing in them can break a key or a command."""
    if not all(isinstance(value, str) for value in spec.to_hash().values()) or spec.gpus < 1:
        raise ValueError("a field has a value of another kind")
    if (entry.user, entry.config, entry.workdir) != (spec.user, spec.config, spec.workdir):
        raise ValueError("the entry and the rest are of different submissions")
    broken = broken_by_user(spec.user)
    if broken:
        raise ValueError(f"user {broken}")
    if not re.fullmatch(rf"{spec.user}_[0-9]{{14}}(_[0-9]{{1,9}})?", entry.job_id):
        raise ValueError(f"{entry.job_id!r} is no id of a job of {spec.user}")


@dataclass(frozen=True)
class Result:
    """How a finished job's container ended, kept with the record."""

    exit_code: int | None = None
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """The full record of a job, as it stands in `job:<job_id>`. Times are seconds since the epoch, None = not yet."""

    job_id: str
    spec: JobSpec
    entry: str  #: the raw JSON that stands in the queue; never re-encoded
    phase: Phase
    reason: Reason
    submitted_at: float
    queued_at: float
    admitted_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 1
    requeues: int = 0
    breaks: int = 0  #: how often handling it broke the scheduler since it last ran
    slot: str | None = None
    engine: str | None = (
        None  #: the engine that runs it; None in records of versions with one engine
    )
    node: str | None = None
    gpu_uuids: tuple[str, ...] = ()
    workflow_name: str | None = None
    workflow_uid: str | None = None
    withdrawn_uid: str | None = (
        None  #: this workflow of it is being deleted, so that it can start on another node
    )
    waited_until: float | None = (
        None  #: until then nothing kept it from starting that was its fault
    )
    cancel_requested_at: float | None = None
    result: Result = Result()

    @property
    def run_folder(self) -> str:
        """Where the training writes, as people write it (below /data)."""
        return f"{self.spec.workdir}/runs/{self.job_id}"

    @classmethod
    def from_hash(cls, record: Mapping[str, str]) -> "Job":
        """Read a record; fields that were not fetched keep their defaults. Raises CorruptEntry."""
        try:
            return cls(
                job_id=record["job_id"],
                spec=JobSpec.from_hash(record),
                entry=record["entry"],
                phase=Phase(record["phase"]),
                reason=Reason.read(
                    record["reason_code"],
                    record.get("reason_message", ""),
                    record.get("reason_detail"),
                ),
                submitted_at=seconds(record["submitted_at"]),
                queued_at=seconds(record["queued_at"]),
                admitted_at=_time(record, "admitted_at"),
                started_at=_time(record, "started_at"),
                finished_at=_time(record, "finished_at"),
                attempt=int(record.get("attempt") or 1),
                requeues=int(record.get("requeues") or 0),
                breaks=int(record.get("breaks") or 0),
                slot=record.get("slot") or None,
                engine=record.get("engine") or None,
                node=record.get("node") or None,
                gpu_uuids=tuple(json.loads(record.get("gpu_uuids") or "[]")),
                workflow_name=record.get("workflow_name") or None,
                workflow_uid=record.get("workflow_uid") or None,
                withdrawn_uid=record.get("withdrawn_uid") or None,
                waited_until=_time(record, "waited_until"),
                cancel_requested_at=_time(record, "cancel_requested_at"),
                result=Result(
                    exit_code=int(record["exit_code"]) if record.get("exit_code") else None,
                    log_tail=tuple(json.loads(record.get("log_tail") or "[]")),
                ),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise CorruptEntry(json.dumps(dict(record))[:500], f"record: {error!r}") from error

    def to_hash(self) -> dict[str, str]:
        """The record as `from_hash` reads it, without phase, reason and slot, which the scripts write."""
        times = {
            "submitted_at": self.submitted_at,
            "queued_at": self.queued_at,
            "admitted_at": self.admitted_at,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }
        result = self.result
        return {
            **self.spec.to_hash(),
            "job_id": self.job_id,
            "entry": self.entry,
            **{name: rfc3339(at) for name, at in times.items() if at is not None},
            "attempt": str(self.attempt),
            "requeues": str(self.requeues),
            "engine": self.engine or "",
            "node": self.node or "",
            "gpu_uuids": json.dumps(list(self.gpu_uuids)),
            "workflow_name": self.workflow_name or "",
            "workflow_uid": self.workflow_uid or "",
            "exit_code": "" if result.exit_code is None else str(result.exit_code),
            "log_tail": json.dumps(result.log_tail),
        }

    #: What is fetched for lists: everything but the config's text and the log tail, which may be large.
    LIST_FIELDS: ClassVar[tuple[str, ...]] = (
        *(
            "job_id",
            "user",
            "config",
            "workdir",
            "name",
            "gpus",
            "time_limit_s",
            "workflow",
            "entry",
        ),
        *(
            "phase",
            "reason_code",
            "reason_message",
            "reason_detail",
            "submitted_at",
            "queued_at",
            "admitted_at",
            "started_at",
        ),
        *(
            "finished_at",
            "attempt",
            "requeues",
            "breaks",
            "slot",
            "engine",
            "node",
            "gpu_uuids",
            "workflow_name",
        ),
        *("workflow_uid", "withdrawn_uid", "waited_until", "cancel_requested_at", "exit_code"),
    )

    def to_dict(self) -> dict[str, Any]:
        """The record as the API shows it (times in RFC 3339); without the config's text."""

        def shown(at: float | None) -> str | None:
            return None if at is None else rfc3339(at)

        return {
            "job_id": self.job_id,
            "user": self.spec.user,
            "status": self.phase.value,
            "reason": self.reason.to_dict(),
            "name": self.spec.name,
            "config": self.spec.config,
            "workdir": self.spec.workdir,
            "gpus": self.spec.gpus,
            "time_limit_s": self.spec.time_limit_s,
            "workflow": self.spec.workflow,
            "submitted_at": shown(self.submitted_at),
            "queued_at": shown(self.queued_at),
            "admitted_at": shown(self.admitted_at),
            "started_at": shown(self.started_at),
            "finished_at": shown(self.finished_at),
            "cancel_requested_at": shown(self.cancel_requested_at),
            "attempt": self.attempt,
            "requeues": self.requeues,
            "node": self.node,
            "gpu_uuids": list(self.gpu_uuids),
            "workflow_name": self.workflow_name,
            "exit_code": self.result.exit_code,
            "run_folder": self.run_folder,
        }


def _time(record: Mapping[str, str], name: str) -> float | None:
    text = record.get(name)
    return seconds(text) if text else None
