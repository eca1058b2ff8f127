"""Which gpuq this is."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    try:
        return metadata.version("gpuq-lab")
    except metadata.PackageNotFoundError:
        return "unknown"
