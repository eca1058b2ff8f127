"""This module reads a config file and words the first error in it as one sentence.

The sentence names the file, the key, the rule and where possible the remedy.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proto_gcn.config.train import Base, TrainConfig
from proto_gcn.errors import ConfigError

BASES = Path(__file__).parent / "bases"


def load_config(path: Path) -> TrainConfig:
    """Return the validated config, completed from its base; raises ConfigError."""
    raw = completed(_mapping(path))
    try:
        return TrainConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error, raw)}") from error


def completed(raw: dict[str, Any]) -> dict[str, Any]:
    """Lay the config over its base; the validation reports a base that does not exist."""
    base = raw.get("base")
    return merged(_mapping(BASES / f"{base}.yaml"), raw) if base in get_args(Base) else raw


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; a list or any other value replaces the one under it."""
    both = {
        key: merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return {**under, **over, **both}


def _mapping(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the config file {path}: {error.strerror};"
            " set CONFIG_FILE to a readable file"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        kind = "an empty file" if raw is None else f"a {type(raw).__name__}"
        raise ConfigError(
            f"{path} must be a mapping of keys (model, data, optimizer, ...), not {kind}"
        )
    return raw


def describe(error: ValidationError, raw: dict[str, Any]) -> str:
    """Return the first error as a sentence, with the number of further errors."""
    details = error.errors()
    # A misspelt key usually causes the other errors too, so it comes first.
    unknown = [detail for detail in details if detail["type"] == "extra_forbidden"]
    first = (unknown or details)[0]
    key = _key(first, raw)
    others = len({_key(detail, raw) for detail in details} - {key})
    return _sentence(first, key) + (f" ({others} more to correct)" if others else "")


def _sentence(detail: ErrorDetails, key: str) -> str:
    given = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {key}" + _did_you_mean(key)
        case "missing":
            return f"{key} is missing; add it"
        case "model_type":
            return f"{key} must be a mapping of keys, not {given!r}"
        case "value_error":
            rule = detail["msg"].removeprefix("Value error, ")
            return f"{key}: {rule}" if key else rule
    rule = detail["msg"].partition(" should ")[2]
    return f"{key} must {rule}, not {given!r}{_number_hint(given)}"


def _number_hint(given: object) -> str:
    """Explain YAML's rule for `5e-4`, which it reads as text."""
    try:
        is_number = isinstance(given, str) and float(given) is not None
    except ValueError:
        is_number = False
    return "; write the number with a decimal point (0.0005 or 5.0e-4)" if is_number else ""


def _key(detail: ErrorDetails, raw: Any) -> str:
    """Return the dotted key; the names of union members that pydantic adds are left out."""
    parts: list[str] = []
    for part in detail["loc"]:
        is_key = isinstance(raw, dict) and part in raw
        is_index = isinstance(raw, list) and isinstance(part, int)
        if not is_key and not is_index and detail["type"] != "missing":
            break
        parts.append(f"[{part}]" if is_index else f".{part}")
        raw = raw[part] if is_key or is_index else None
    return "".join(parts).lstrip(".")


def _did_you_mean(key: str) -> str:
    """Suggest the nearest key of the same section, else one of another section."""
    parent, _, name = key.rpartition(".")
    known = list(_known_keys(TrainConfig, ""))
    siblings = sorted(k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == parent)
    near = difflib.get_close_matches(name, siblings, n=1)
    near = near or [k for k in known if k.rpartition(".")[2] == name]
    near = near or difflib.get_close_matches(key, known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; the known keys here are {', '.join(siblings)}"


def _known_keys(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
