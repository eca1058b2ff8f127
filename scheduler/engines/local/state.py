"""Read a workflow's state from its folder: files that the runner writes, and a kernel lock."""

import fcntl
import json
from pathlib import Path
from typing import Any

from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus
from scheduler.engines.log_tail import LOG_TAIL_BYTES, last_lines


def read_state(folder: Path, engine: str, node: str) -> WorkflowStatus | None:
    """Return the workflow's state; None if the folder holds none.

    Raises OSError, ValueError or KeyError if the folder cannot be read.
    """
    launch = _read_json(folder / "launch.json")
    if launch is None:
        return None
    # The order matters: the runner locks, then writes started.json; it writes exit.json, then
    # unlocks.
    started = _read_json(folder / "started.json")
    is_locked = started is not None and _is_locked(folder / "lock")
    ended = _read_json(folder / "exit.json")
    known = {**_identity(launch), "name": folder.name, "engine": engine, "node": node}
    known["started_at"] = started and started["at"]
    if started is None:
        return WorkflowStatus(phase=WorkflowPhase.PENDING, **known)
    if ended is None and is_locked:
        return WorkflowStatus(phase=WorkflowPhase.RUNNING, **known)
    known["log_tail"] = _log_tail(folder / "output.log")
    return _killed(known) if ended is None else _ended(known, ended)


def _identity(launch: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": launch["uid"],
        "job_id": launch["job_id"],
        "attempt": launch["attempt"],
        "gpu_uuids": tuple(launch["gpu_uuids"]),
        "submission": launch.get("submission"),  # earlier versions did not write it
    }


def _killed(known: dict[str, Any]) -> WorkflowStatus:
    """Nothing holds the lock, so nothing runs; the runner could not write how it ended."""
    text = "Its runner was killed"
    return WorkflowStatus(
        phase=WorkflowPhase.FAILED, ended_by=EndedBy.EVICTION, message=text, **known
    )


def _ended(known: dict[str, Any], ended: dict[str, Any]) -> WorkflowStatus:
    succeeded = ended["exit_code"] == 0
    return WorkflowStatus(
        phase=WorkflowPhase.SUCCEEDED if succeeded else WorkflowPhase.FAILED,
        finished_at=ended["at"],
        exit_code=ended["exit_code"],
        ended_by=EndedBy(ended["ended_by"]),
        message=ended["message"],
        **known,
    )


def _is_locked(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _log_tail(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return last_lines(file.read().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        return ()
