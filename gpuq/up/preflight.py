"""What must be there before `gpuq up` starts anything; each thing that is missing is one sentence."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from gpuq.errors import GpuqFailure
from jobqueue.service.listening import is_loopback

#: What the services import (the extras queue-manager, scheduler, resource-monitor) -> nothing is imported to look.
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
    return importlib.util.find_spec(module) is not None


def check_platform() -> None:
    if sys.platform != "linux":
        raise GpuqFailure(
            "gpuq up runs on Linux only: it ties its processes together with the kernel's means there."
        )


def check_packages(installed: Callable[[str], bool] = is_installed) -> None:
    """Raises GpuqFailure with the pip command."""
    if missing := [module for module in SERVICE_MODULES if not installed(module)]:
        raise GpuqFailure(
            f"gpuq's services need {', '.join(missing)}: pip install 'gpuq-lab[local]'"
        )
    if missing := [module for module in TRAINER_MODULES if not installed(module)]:
        raise GpuqFailure(
            f"The training needs {', '.join(missing)}: pip install 'gpuq-lab[trainer]'"
        )


def auth_of(host: str, wanted: str | None, is_demo: bool) -> str:
    """AUTH for a queue manager on `host`: `off` on loopback, unless the caller's own AUTH (`wanted`) says token.

    Raises GpuqFailure.
    """
    if not host:
        raise GpuqFailure(
            "--host must be an address or a name of this machine, like 127.0.0.1 or 0.0.0.0."
        )
    if is_loopback(host) and wanted != "token":
        return "off"
    if is_demo:
        raise GpuqFailure(
            "--demo needs no token and so runs on loopback, with AUTH=off; leave out --host and AUTH."
        )
    return "token"


def has_nvidia_gpu(device: Path = Path("/dev/nvidia0")) -> bool:
    return device.exists() or shutil.which("nvidia-smi") is not None
