"""The services' disk: /data as people write it -> DATA_ROOT, and reading files that may not lead out of a folder."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from queue_manager.submission.text_rules import DATA


class LeadsOut(Exception):
    """A symbolic link on the way leads out of the folder that the path must stay in."""


def on_disk(path: str, data_root: Path) -> Path:
    """Where `path` (/data or below, as people write it) is on this disk."""
    return data_root / path.removeprefix(DATA).lstrip("/")


def stays_inside(path: Path, folder: Path) -> bool:
    """Whether `path`, its links followed as far as it exists, is `folder` or below it."""
    return _has_no_links(path, folder) or _is_below(os.path.realpath(path), folder)


def open_inside(path: Path, folder: Path) -> BinaryIO:
    """The regular file `path`, open for reading. Raises LeadsOut where it is not below `folder`, else OSError.

    The file that was opened is looked at, not the path again: its owner may swap links meanwhile.
    """
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # not blocking: it might be a pipe
    try:
        if not _is_below(os.readlink(f"/proc/self/fd/{descriptor}"), folder):
            raise LeadsOut(f"{path} leads out of {folder}")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(f"{path} is no file")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _has_no_links(path: Path, folder: Path) -> bool:
    """The usual case in one look at the disk for each part, where `realpath` begins at the root, twice."""
    place = str(folder)
    if not _begins(str(path), place):
        return False
    for part in str(path)[len(place) :].split("/"):
        place = f"{place}/{part}"
        if part == ".." or os.path.islink(place):
            return False
    return True


def _is_below(real_path: str, folder: Path) -> bool:
    """The folder's own text is tried first: what a real path begins with is real."""
    return _begins(real_path, str(folder)) or _begins(real_path, os.path.realpath(folder))


def _begins(path: str, folder: str) -> bool:
    return f"{path}/".startswith(folder.rstrip("/") + "/")


def config_names(config_root: Path, most: int = 1000) -> list[str]:
    """The names that a submission may give as `config`: the YAML files below the folder, hidden ones left out."""
    found: list[str] = []
    for folder, folders, files in os.walk(config_root):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".")
        )  # ConfigMaps have a ..data there
        paths = [
            Path(folder, name)
            for name in files
            if name.endswith((".yaml", ".yml")) and name[0] != "."
        ]
        found += [
            str(path.relative_to(config_root)) for path in paths if stays_inside(path, config_root)
        ]
    return sorted(found)[:most]
