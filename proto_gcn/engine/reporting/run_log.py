"""The two logs of a run: for people (train.log and stdout) and for programs (metrics.jsonl)."""

import json
import os
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def now() -> str:
    """Return the time in UTC, as RFC 3339 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float | None) -> str:
    """Return seconds as 1h22m, 2m05s or 9s; `?` if unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


class RunLog:
    """Writes each line to stdout and, once opened, to train.log; trace-backs to the file alone."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self.silent = False  # in all processes of a training but the first

    def open(self, path: Path) -> None:
        """Write lines to this file too, from now on."""
        if not self.silent:
            _end_torn_line(path)
        self._path = path

    def line(self, text: str) -> None:
        """Write a line for people."""
        if self.silent:
            return
        try:
            print(text, flush=True)
        except OSError:
            pass  # the reader of our output is gone; the file still has the line
        self._append(text)

    def trace(self) -> None:
        """Write the exception being handled, in full."""
        if self._path is None:
            traceback.print_exc()
        try:
            self._append(traceback.format_exc().rstrip())
        except OSError:
            pass  # its disk is full, and stdout is for sentences

    def _append(self, text: str) -> None:
        if self._path is not None:
            _append_line(self._path, text)


class MetricsLog:
    """metrics.jsonl; safe to write from the telemetry thread too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        _end_torn_line(path)

    def write(self, kind: str, **fields: Any) -> None:
        """Append one JSON object."""
        line = json.dumps({"kind": kind, "at": now(), **fields}, allow_nan=False)
        with self._lock:
            _append_line(self._path, line)

    def has_epoch(self, epoch: int) -> bool:
        """Return whether that epoch (from 1) was reported, by this process or an earlier one."""
        if not self._path.exists():
            return False
        return any(
            _is_epoch(line, epoch) for line in self._path.read_text(errors="replace").splitlines()
        )


def _is_epoch(line: str, epoch: int) -> bool:
    if '"epoch"' not in line:
        return False
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return bool(entry["kind"] == "epoch" and entry["epoch"] == epoch)


def _append_line(path: Path, text: str) -> None:
    """Append a line with one write call: only a full disk can split it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    line = (text + "\n").encode()
    try:
        while line:  # a disk that fills up takes a part, then refuses the rest with its reason
            line = line[os.write(descriptor, line) :]
    except OSError as error:
        error.filename = str(path)  # a full disk names no file
        raise
    finally:
        os.close(descriptor)


def _end_torn_line(path: Path) -> None:
    """End the half line that a process killed while writing may have left."""
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        torn = file.read() != b"\n"
    if torn:
        _append_line(path, "")
