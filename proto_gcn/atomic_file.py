"""Files that appear complete or not at all, also after a power cut."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_atomically(
    path: Path, content: bytes, written: Callable[[], None] = lambda: None
) -> None:
    """Old content or new, never half; `written` is called just before the exchange; an OSError leaves the old."""
    temporary = path.with_name(
        f".{path.name}.tmp"
    )  # one name: the next writer replaces what a killed one left
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written()
        temporary.replace(path)
    except OSError as error:
        error.filename = str(
            path
        )  # a full disk names no file, and nobody knows of the temporary one
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is on disk once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
