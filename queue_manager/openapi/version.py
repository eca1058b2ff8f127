"""The version of the installed gpuq."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """Return the version, or "unknown" in a checkout that is not installed."""
    try:
        return metadata.version("gpuq-lab")
    except metadata.PackageNotFoundError:
        return "unknown"
