"""Reads a config file; whatever is wrong with it becomes one sentence that names the key, the file and the rule."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from proto_gcn.config.train import Base, TrainConfig
from proto_gcn.errors import ConfigError

BASES = Path(__file__).parent.parent / "configs"


def load_config(path: Path) -> TrainConfig:
    """The checked config, completed from its base; raises ConfigError."""
    raw = completed(_mapping(path))
    try:
        return TrainConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {describe(error, raw)}") from error


def completed(raw: dict[str, Any]) -> dict[str, Any]:
    """The config laid over its base; a base that is not one of ours is left for the check to name."""
    base = raw.get("base")
    return merged(_mapping(BASES / f"{base}.yaml"), raw) if base in get_args(Base) else raw


def merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key; a list or any other value replaces what is under it."""
    both = {
        key: merged(under[key], over[key])
        for key in under.keys() & over.keys()
        if _both_mappings(under, over, key)
    }
    return {**under, **over, **both}


def _both_mappings(under: dict[str, Any], over: dict[str, Any], key: str) -> bool:
    return isinstance(under[key], dict) and isinstance(over[key], dict)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the config file {path}: {error.strerror}; set CONFIG_FILE to a file"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{path} must be a mapping of keys (model, data, optimizer, ...), not {_kind(raw)}"
        )
    return raw


def describe(error: ValidationError, raw: dict[str, Any]) -> str:
    """The first error as a sentence, with the number of further ones."""
    details = error.errors()
    unknown = [
        d for d in details if d["type"] == "extra_forbidden"
    ]  # a typo usually causes the others too
    first = (unknown or details)[0]
    key = _key(first, raw)
    others = len({_key(d, raw) for d in details} - {key})
    return _sentence(first, key) + (f" ({others} more to correct)" if others else "")


def _sentence(detail: ErrorDetails, key: str) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return f"unknown key {key}" + _did_you_mean(key)
    if kind == "missing":
        return f"{key} is missing; add it"
    if kind == "model_type":
        return f"{key} must be a mapping of keys, not {given!r}"
    if kind == "value_error":
        rule = detail["msg"].removeprefix("Value error, ")
        return f"{key}: {rule}" if key else rule
    rule = "should " + detail["msg"].partition(" should ")[2]
    hint = (
        "; write the number with a decimal point (0.0005 or 5.0e-4)"
        if _looks_like_number(given)
        else ""
    )
    return f"{key} {rule}, not {given!r}{hint}"


def _key(detail: ErrorDetails, raw: Any) -> str:
    """The dotted key; pydantic adds the names of union members to a location, which stand in no file."""
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
    parent, _, name = key.rpartition(".")
    known = dict(_known_keys(TrainConfig, ""))
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == parent}
    near = difflib.get_close_matches(name, siblings, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    elsewhere = [k for k in known if k.rpartition(".")[2] == name] or difflib.get_close_matches(
        key, known, n=1
    )
    return (
        f"; did you mean {elsewhere[0]}?"
        if elsewhere
        else f"; known here are {', '.join(sorted(siblings))}"
    )


def _known_keys(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, None]]:
    for name, field in model.model_fields.items():
        yield prefix + name, None
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")


def _looks_like_number(given: object) -> bool:
    try:
        return isinstance(given, str) and float(given) is not None
    except ValueError:
        return False


def _kind(raw: object) -> str:
    return "an empty file" if raw is None else f"a {type(raw).__name__}"
