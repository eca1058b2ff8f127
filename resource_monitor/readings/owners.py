"""This module finds the user of a process on a GPU: None (unknown) rather than a wrong name.

NVML numbers processes as the machine's first process namespace does. In a container with its own
namespace another process may have that number, and in one with its own /etc/passwd another person
may have that user id.
"""

import os
import pwd
import re
import threading
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")
FIRST_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO: the same on every Linux

_REAL_UID = re.compile(r"^Uid:\t(\d+)", re.MULTILINE)
_ROOT_OF_A_CONTAINER = re.compile(r"^\S+ / (overlay|fuse\.fuse-overlayfs) ", re.MULTILINE)


def _name_of(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name


class Owners:
    """`name_of` returns a user id's name or raises KeyError; it may be slow."""

    def __init__(self, proc: Path = PROC, name_of: Callable[[int], str] = _name_of) -> None:
        self._proc = proc
        self._name_of = name_of
        self.knows_pids = _in_first_namespace(proc)
        self.knows_names = self.knows_pids and not _in_container(proc)
        self._names: dict[int, str | None] = {}

    def pid(self, pid: int) -> int | None:
        """Return NVML's `pid` if people on this machine can look it up, else None."""
        return pid if self.knows_pids else None

    def user(self, pid: int) -> str | None:
        """Return the name of the user of process `pid`.

        A name that is not known yet is None now and available at one of the next readings.
        """
        uid = self._uid(pid) if self.knows_names else None
        if uid is None:
            return None
        if uid not in self._names:
            self._names[uid] = None
            # A directory server that does not answer must not delay the readings.
            threading.Thread(target=self._learn, args=(uid,), daemon=True).start()
        return self._names[uid]

    def _learn(self, uid: int) -> None:
        try:
            self._names[uid] = self._name_of(uid)
        except (KeyError, OSError):
            pass  # the user id has no name here

    def _uid(self, pid: int) -> int | None:
        try:
            found = _REAL_UID.search((self._proc / str(pid) / "status").read_text(errors="replace"))
        except OSError:  # the process has ended or is hidden from us
            return None
        return int(found[1]) if found else None


def _in_first_namespace(proc: Path) -> bool:
    try:
        return str((proc / "self" / "ns" / "pid").readlink()) == FIRST_NAMESPACE
    except OSError:
        return False


def _in_container(proc: Path) -> bool:
    try:
        mounts = (proc / "self" / "mounts").read_text(errors="replace")
    except OSError:
        return True
    return (
        "KUBERNETES_SERVICE_HOST" in os.environ or _ROOT_OF_A_CONTAINER.search(mounts) is not None
    )
