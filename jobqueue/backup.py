"""This module writes and reads a backup: one JSON document with the queued jobs and token hashes.

Running and finished jobs are not in it: the scheduler restores them from the workflows. Pure.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jobqueue.clock import rfc3339
from jobqueue.codec.fields import IN_BACKUP
from jobqueue.errors import CorruptData, CorruptEntry, GpuqError
from jobqueue.job import Job, JobSpec, QueueEntry, check_whole
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.tokens import Token

VERSION = 1
_MARK = "gpuq_backup"


class InvalidBackup(GpuqError):
    """The document is not a backup that this version reads."""


@dataclass(frozen=True)
class Backup:
    """The content of a document: queued jobs, the next one first, and tokens."""

    jobs: tuple[Job, ...]
    tokens: tuple[Token, ...]


def encode(jobs: Iterable[Job], tokens: Iterable[Token], at: float) -> str:
    """Return the document, made at `at` (epoch seconds); jobs that are not queued are left out."""
    queued = [_job_to_dict(job) for job in jobs if job.phase is Phase.QUEUED]
    kept = [{"digest": token.digest, **json.loads(token.encode())} for token in tokens]
    document = {_MARK: VERSION, "made_at": rfc3339(at), "queue": queued, "tokens": kept}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def decode(text: str) -> Backup:
    """Read what `encode` wrote; raises InvalidBackup if any part is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidBackup(
            f"This is not JSON ({error}); a backup is made by gpuq admin backup."
        ) from error
    if not isinstance(document, dict) or _MARK not in document:
        raise InvalidBackup(
            "This is not a backup of gpuq (no field gpuq_backup); one is made by gpuq admin backup."
        )
    if document[_MARK] != VERSION:
        raise InvalidBackup(
            f"This backup has version {document[_MARK]!r}, but this gpuq reads only {VERSION}."
        )
    jobs = [
        _read(_job, each, f"queue[{number}]")
        for number, each in enumerate(_list(document, "queue"))
    ]
    tokens = [
        _read(_token, each, f"tokens[{number}]")
        for number, each in enumerate(_list(document, "tokens"))
    ]
    return Backup(tuple(jobs), tuple(tokens))


def _job_to_dict(job: Job) -> dict[str, Any]:
    entry = QueueEntry.decode(job.entry).__dict__.copy()
    del entry["v"]
    spec = JobSpec.FIELDS.to_json(job.spec)
    large = {name: spec.pop(name) for name in JobSpec.FIELDS.large}
    own = Job.FIELDS.to_json(job, IN_BACKUP)
    return {"job_id": job.job_id} | entry | spec | own | large


def _list(document: Mapping[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise InvalidBackup(f"{name} of this backup must be a list.")
    return value


def _read(read: Any, value: Any, where: str) -> Any:
    try:
        return read(value)
    except (KeyError, TypeError, ValueError, AttributeError, CorruptEntry, CorruptData) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidBackup(f"{where} of this backup cannot be read: {why}.") from error


def _job(values: Mapping[str, Any]) -> Job:
    spec = JobSpec(**JobSpec.FIELDS.from_json(values))
    timestamp, job_id = str(values["timestamp"]), str(values["job_id"])
    entry = QueueEntry(spec.user, spec.config, spec.workdir, timestamp, job_id)
    check_whole(entry, spec)
    return Job(
        job_id=job_id,
        spec=spec,
        entry=entry.encode(),
        phase=Phase.QUEUED,
        reason=Reason(ReasonCode.RESTORED, ""),
        **Job.FIELDS.from_json(values, IN_BACKUP),
    )


def _token(fields: Mapping[str, Any]) -> Token:
    return Token.decode(
        fields["digest"], json.dumps({name: fields[name] for name in fields if name != "digest"})
    )
