"""Read `--config @file`: a local configuration as the JSON object that a submission takes."""

import json
from pathlib import Path
from typing import Any

from gpuq.errors import GpuqFailure


def read_config(value: str) -> str | dict[str, Any]:
    """Return a name as it is, and the content of `@file`. Raises GpuqFailure."""
    if not value.startswith("@"):
        return value
    path = Path(value[1:])
    config = _parse(path, _read(path))
    if not isinstance(config, dict):
        raise GpuqFailure(f"{path} must contain keys and values, like `total_epochs: 24`.")
    _check_json(path, config)
    return config


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GpuqFailure(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise GpuqFailure(f"{path} cannot be read (it is not UTF-8).") from error


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass  # then it is YAML
    try:
        import yaml  # nothing else here needs it, so the base install does not have it
    except ImportError as error:
        remedy = "pip install pyyaml (a JSON file needs nothing)"
        raise GpuqFailure(f"Reading {path} as YAML needs pyyaml: {remedy}.") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # an impossible date is a ValueError
        raise GpuqFailure(f"{path} is not YAML: {' '.join(str(error).split())}") from error


def _check_json(path: Path, config: dict[str, Any]) -> None:
    """Refuse values that YAML has and JSON does not: dates, NaN, keys that are not texts."""
    try:
        json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GpuqFailure(
            f"{path} has a value that JSON cannot represent ({error}); write it as a text."
        ) from error
