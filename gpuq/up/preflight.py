"""What must be there before `gpuq up` starts anything; each thing that is missing is one sentence."""

import importlib.util
import ipaddress
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from gpuq.errors import GpuqFailure

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
        raise GpuqFailure("gpuq up runs on Linux only: it ties its processes together with the kernel's means there.")


def check_packages(installed: Callable[[str], bool] = is_installed) -> None:
    """Raises GpuqFailure with the pip command."""
    if missing := [module for module in SERVICE_MODULES if not installed(module)]:
        raise GpuqFailure(f"gpuq's services need {', '.join(missing)}: pip install 'gpuq[local]'")
    if missing := [module for module in TRAINER_MODULES if not installed(module)]:
        raise GpuqFailure(f"The training needs {', '.join(missing)}: pip install 'gpuq[trainer]'")


def check_host(host: str) -> None:
    """Only loopback; raises GpuqFailure."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise GpuqFailure(
            f"--host {host} is refused: until gpuq has tokens, anybody who reaches it could submit as anybody; "
            "leave it at 127.0.0.1 and come in by ssh -L 8081:127.0.0.1:8081."
        )


def has_nvidia_gpu(device: Path = Path("/dev/nvidia0")) -> bool:
    return device.exists() or shutil.which("nvidia-smi") is not None
