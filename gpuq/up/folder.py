"""The data folder of `gpuq up`: its layout, and the lock that keeps a second one out."""

import fcntl
import importlib.util
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gpuq.errors import GpuqFailure

FREE_BYTES_NEEDED = 200 * 1024**2
#: What a `gpuq up` that was killed leaves behind has ended by then.
STRAGGLERS_S = 15.0
_LOCK_POLL_S = 0.1


def default_root() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "gpuq"


def shipped_workflows() -> Path:
    """The folder of the installed package `workflows`."""
    spec = importlib.util.find_spec("workflows")
    if spec is None or spec.origin is None:
        raise GpuqFailure(
            "The package `workflows` is not installed beside gpuq; install gpuq again."
        )
    return Path(spec.origin).parent


def free_bytes(path: Path) -> int:
    return shutil.disk_usage(path).free


class Folder:
    """Everything that `gpuq up` keeps, below `root` (absolute)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"  #: what people write as /data
        self.configs = root / "configs"
        self.redis = root / "redis"
        self.logs = root / "logs"
        self.workflows = root / "workflows"

    def prepare(self, free_bytes: Callable[[Path], int] = free_bytes) -> int:
        """Make the folders, copy the shipped configs in where missing, take the lock, and return its descriptor.

        Raises GpuqFailure where another `gpuq up` has it, the disk is full, or it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._check_space(free_bytes(self.root))
            lock = self._take_lock()
            for folder in (
                self.data / "datasets",
                self.configs,
                self.redis,
                self.logs,
                self.workflows,
            ):
                folder.mkdir(parents=True, exist_ok=True)
            self._copy_configs()
        except OSError as error:
            raise GpuqFailure(
                f"{error.filename or self.root} cannot be written ({error.strerror}); "
                "name another folder with --data-dir."
            ) from error
        return lock

    def host_path(self, path: str) -> Path:
        """Where a path that people write as /data/… lies on this machine."""
        return self.data / Path(path).relative_to("/data")

    def _take_lock(self) -> int:
        """A kernel lock, so that it goes with its holders: us, and the Redis that writes here.

        Where the `gpuq up` that wrote its pid is gone, only its Redis is left, which is about to end: it is waited for.
        """
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + STRAGGLERS_S
        while not _try_lock(descriptor):
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            if _is_alive(holder) or time.monotonic() > deadline:
                who = f" (pid {holder})" if holder else ""
                raise GpuqFailure(
                    f"Another gpuq up{who} uses {self.root}; stop it, or name another folder with --data-dir."
                )
            time.sleep(_LOCK_POLL_S)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        return descriptor

    def _check_space(self, free: int) -> None:
        if free < FREE_BYTES_NEEDED:
            raise GpuqFailure(
                f"The disk of {self.root} has {free // 1024**2} MB free, and gpuq needs "
                f"{FREE_BYTES_NEEDED // 1024**2}; make room, or name a folder on another disk with --data-dir."
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
