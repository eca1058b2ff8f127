"""Map /data, as people write it, to DATA_ROOT, and read files that must not leave a folder."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

DATA = "/data"  #: the data root, as people write it


class LeadsOut(Exception):
    """A symbolic link on the path leads out of the folder that the path must stay in."""


def on_disk(path: str, data_root: Path) -> Path:
    """Return where `path` (/data or below, as people write it) is on this disk."""
    return data_root / path.removeprefix(DATA).lstrip("/")


def stays_inside(path: Path, folder: Path) -> bool:
    """Tell whether `path` is `folder` or below it, after following links as far as it exists."""
    return _has_no_links(path, folder) or _is_below(os.path.realpath(path), folder)


def open_inside(path: Path, folder: Path) -> BinaryIO:
    """Open a regular file below `folder` for reading. Raises LeadsOut outside it, or OSError.

    The check uses the file that was opened, not the path: its owner may swap links meanwhile.
    """
    # Non-blocking, because the path may be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not _is_below(os.readlink(f"/proc/self/fd/{descriptor}"), folder):
            raise LeadsOut(f"{path} leads out of {folder}")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(f"{path} is not a regular file")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _has_no_links(path: Path, folder: Path) -> bool:
    """Check the usual case with one system call per part; `realpath` starts at the root, twice."""
    place = str(folder)
    if not _begins(str(path), place):
        return False
    for part in str(path)[len(place) :].split("/"):
        place = f"{place}/{part}"
        if part == ".." or os.path.islink(place):
            return False
    return True


def _is_below(real_path: str, folder: Path) -> bool:
    """Compare with the folder as written first: a prefix of a real path is itself real."""
    return _begins(real_path, str(folder)) or _begins(real_path, os.path.realpath(folder))


def _begins(path: str, folder: str) -> bool:
    return f"{path}/".startswith(folder.rstrip("/") + "/")


def config_names(config_root: Path, most: int = 1000) -> list[str]:
    """Return the names that a submission may give as `config`: YAML files that are not hidden."""
    found: list[str] = []
    for folder, folders, files in os.walk(config_root):
        # A mounted ConfigMap has a folder ..data.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = [Path(folder, name) for name in files if _is_config(name)]
        found += [
            str(path.relative_to(config_root)) for path in paths if stays_inside(path, config_root)
        ]
    return sorted(found)[:most]


def _is_config(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) and not name.startswith(".")
