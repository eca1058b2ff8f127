"""The data folder of `gpuq up`: its layout, and the lock against a second `gpuq up`."""

import fcntl
import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gpuq.errors import GpuqFailure

FREE_BYTES_NEEDED = 200 * 1024**2
#: What a killed `gpuq up` leaves behind ends within this time.
STRAGGLERS_S = 15.0
_LOCK_POLL_S = 0.1


def default_root() -> Path:
    """Return the data folder that is used without --data-dir."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "gpuq"


def shipped_workflows() -> Path:
    """Return the folder of the installed package `workflows`. Raises GpuqFailure."""
    spec = importlib.util.find_spec("workflows")
    if spec is None or spec.origin is None:
        raise GpuqFailure(
            "The package `workflows`, a part of gpuq, is not installed; install gpuq again."
        )
    return Path(spec.origin).parent


def free_bytes(path: Path) -> int:
    """Return the free space of the disk with `path`."""
    return shutil.disk_usage(path).free


class Folder:
    """The paths of everything that `gpuq up` keeps below `root` (absolute)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"  #: what people write as /data
        self.configs = root / "configs"
        self.redis = root / "redis"
        self.logs = root / "logs"
        self.workflows = root / "workflows"

    def prepare(self, free_bytes: Callable[[Path], int] = free_bytes) -> int:
        """Make the folders, copy missing shipped configs, take the lock; returns its descriptor.

        Raises GpuqFailure if another `gpuq up` has the lock, or the disk is full or not writable.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._check_space(free_bytes(self.root))
            lock = self._take_lock()
            datasets = self.data / "datasets"
            for folder in (datasets, self.configs, self.redis, self.logs, self.workflows):
                folder.mkdir(parents=True, exist_ok=True)
            self._copy_configs()
        except OSError as error:
            raise GpuqFailure(
                f"{error.filename or self.root} cannot be written ({error.strerror}); "
                "use another folder with --data-dir."
            ) from error
        return lock

    def host_path(self, path: str) -> Path:
        """Return where a path that people write as /data/… is on this machine."""
        return self.data / Path(path).relative_to("/data")

    def _take_lock(self) -> int:
        """Take a kernel lock, which ends with its holders: us, and the Redis that writes here.

        If the `gpuq up` that wrote its pid has ended, only its Redis is left; its end is awaited.
        """
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + STRAGGLERS_S
        while not _try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            if _is_alive(holder) or time.monotonic() > deadline:
                who = f" (pid {holder})" if holder else ""
                raise GpuqFailure(
                    f"Another gpuq up{who} uses {self.root}; "
                    "stop it, or use another folder with --data-dir."
                )
            time.sleep(_LOCK_POLL_S)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def _check_space(self, free: int) -> None:
        if free < FREE_BYTES_NEEDED:
            raise GpuqFailure(
                f"The disk of {self.root} has {free // 1024**2} MB free, and gpuq needs "
                f"{FREE_BYTES_NEEDED // 1024**2} MB; free some space, or use a folder on another "
                "disk with --data-dir."
            )

    def _copy_configs(self) -> None:
        for shipped in (shipped_workflows() / "configs").glob("*.yaml"):
            if not (self.configs / shipped.name).exists():
                shutil.copyfile(shipped, self.configs / shipped.name)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    return pid.isdigit() and Path("/proc", pid).exists()
