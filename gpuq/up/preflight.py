"""Check what `gpuq up` needs before it starts anything; each missing part is one sentence."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gpuq.errors import GpuqFailure
from jobqueue.service.listening import is_loopback

#: What the services import (the extras queue-manager, scheduler and resource-monitor).
SERVICE_MODULES = (
    "flask",
    "gunicorn",
    "jsonschema",
    "psutil",
    "pydantic_settings",
    "pynvml",
    "redis",
    "structlog",
    "yaml",
)
TRAINER_MODULES = ("numpy", "torch")


def is_installed(module: str) -> bool:
    """Tell whether the module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def check_platform() -> None:
    """Raise GpuqFailure except on Linux."""
    if sys.platform != "linux":
        raise GpuqFailure(
            "gpuq up runs on Linux only: it uses features of its kernel to control its processes."
        )


def check_packages(installed: Callable[[str], bool] = is_installed) -> None:
    """Raise GpuqFailure with the remedy if a package is missing."""
    if missing := [module for module in SERVICE_MODULES if not installed(module)]:
        raise GpuqFailure(_missing("gpuq's services need", missing, "local"))
    if missing := [module for module in TRAINER_MODULES if not installed(module)]:
        raise GpuqFailure(_missing("The training needs", missing, "trainer"))


def _missing(who: str, modules: Sequence[str], extra: str) -> str:
    return (
        f"{who} {', '.join(modules)}: run make setup in gpuq's checkout, "
        f"or install gpuq's wheel with the extra {extra}."
    )


def choose_auth(host: str, wanted: str | None, is_demo: bool) -> str:
    """Return AUTH for a queue manager on `host`. Raises GpuqFailure.

    It is `off` on loopback, unless `wanted`, the caller's AUTH, is `token`; elsewhere it is
    `token`.
    """
    if not host:
        raise GpuqFailure(
            "--host must be an address or name of this machine, like 127.0.0.1 or 0.0.0.0."
        )
    if is_loopback(host) and wanted != "token":
        return "off"
    if is_demo:
        raise GpuqFailure(
            "--demo runs without tokens, so only on loopback and with AUTH=off; "
            "omit --host and AUTH."
        )
    return "token"


def has_nvidia_gpu(device: Path = Path("/dev/nvidia0")) -> bool:
    """Tell whether this machine has an NVIDIA GPU."""
    return device.exists() or shutil.which("nvidia-smi") is not None
