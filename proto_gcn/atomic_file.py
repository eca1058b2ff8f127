"""This module writes files that are either complete or absent, even after a power cut."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_atomically(
    path: Path, content: bytes, written: Callable[[], None] = lambda: None
) -> None:
    """Replace the file at once; after an OSError, which names `path`, the old content remains.

    `written` is called after the content is on disk and before the old file is replaced.
    """
    # One fixed name, so that the next writer replaces what a killed one left behind.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        _write_to_disk(temporary, content)
        written()
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk reports no name, and users know this one
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _write_to_disk(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Write the folder to disk: a rename survives a power cut only then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
