"""(text, schema) -> what is wrong with a configuration: pure; the only file that reads YAML or a JSON Schema."""

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from queue_manager.http.problems import MOST_ERRORS, FieldError, short

MAX_DEPTH = 64
SCHEMA_SUFFIX = ".schema.json"
_MOST_READ = 100
#: Python writes no longer ones in decimal, so no sentence could name them.
_LONGEST_NUMBER = 1000
_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fA-F_xo:]*$")


class BrokenSchema(Exception):
    """The template's schema is none; the text is one sentence."""


class _NotTaken(ValueError):
    """Not YAML as we take it; the text is a rule."""


@dataclass(frozen=True)
class Schema:
    """A template's JSON Schema; `text` is what it is told apart by."""

    text: str

    @classmethod
    def of_template(cls, folder: Path, name: str) -> "Schema | None":
        """The schema beside the template `name`, None where there is none; raises BrokenSchema."""
        path = folder / f"{name}{SCHEMA_SUFFIX}"
        try:
            return cls(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenSchema(f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=64)  # pure, and a lab submits the same few files over and over
def broken_keys(text: str, name: str, schema: Schema | None) -> tuple[FieldError, ...]:
    """The first rules that the configuration `name` breaks, unknown keys first: a typo usually causes the others too.

    Raises BrokenSchema.
    """
    try:
        config = _parse(text)
    except _NotTaken as error:
        return (FieldError("config", f"{name}: {error}"),)
    if schema is None:
        return ()
    try:
        found = [
            _leaf(error) for error in islice(_validator(schema).iter_errors(config), _MOST_READ)
        ]
    except (ValueError, SchemaError, Unresolvable, RecursionError) as error:
        raise BrokenSchema(
            f"The template's schema is broken ({short(str(error))}); an admin must mend it."
        ) from error
    found.sort(key=lambda error: error.validator != "additionalProperties")
    broken = chain(
        (key for error in found for key in _field_errors(error, name)),
        _not_finite(config, name, ()),
    )
    return tuple(islice(broken, MOST_ERRORS))


@lru_cache(maxsize=16)
def _validator(schema: Schema) -> Draft202012Validator:
    # An empty registry: a $ref to another host is an error, never a download.
    Draft202012Validator.check_schema(json.loads(schema.text))
    return Draft202012Validator(json.loads(schema.text), registry=Registry())


# -- YAML ----------------------------------------------------------------------------------------------------------


class _Loader(yaml.CSafeLoader):
    """Refuses a key that stands twice, of which YAML's readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = (
                (key_node.tag, key_node.value)
                if isinstance(key_node, yaml.ScalarNode)
                else id(key_node)
            )
            if key in seen:
                line = key_node.start_mark.line + 1
                raise _NotTaken(f"line {line} has the key {short(key_node.value)} a second time")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    """The value of one YAML document without aliases and tags; raises _NotTaken."""
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _NotTaken(f"is not YAML: {line}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise _NotTaken(f"is not YAML: {short(' '.join(str(error).split()))}") from error
    except _NotTaken:
        raise
    except (
        ValueError,
        OverflowError,
    ) as error:  # what only looks like a date or a number: 2026-13-45
        raise _NotTaken(f"has a value that cannot be read: {short(str(error))}") from error


def _check_events(text: str) -> None:
    """Before anything is built: aliases (of which bombs are made), tags (which name types) and the depth."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise _NotTaken(
                f"line {line} has an alias (*{short(event.anchor)}); write the value out"
            )
        if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
            raise _NotTaken(f"line {line} has a number of more than {_LONGEST_NUMBER} digits")
        if (tag := getattr(event, "tag", None)) is not None:
            raise _NotTaken(f"line {line} has a tag ({short(tag)}); write plain values")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(
            event, yaml.CollectionEndEvent
        )
        if depth > MAX_DEPTH:
            raise _NotTaken(f"line {line} is nested deeper than {MAX_DEPTH} levels")


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    return (
        event.implicit[0]
        and len(event.value) > _LONGEST_NUMBER
        and _NUMBER.match(event.value) is not None
    )


# -- sentences -----------------------------------------------------------------------------------------------------


def _leaf(error: ValidationError) -> ValidationError:
    """Below an anyOf the branch that fits best, which says what to mend; an anyOf itself says nothing."""
    best = best_match(iter([error]))
    return best if isinstance(best, ValidationError) else error


def _field_errors(error: ValidationError, name: str) -> Iterator[FieldError]:
    at, rule, schema = error.absolute_path, str(error.validator), error.schema
    if (
        rule == "additionalProperties"
        and isinstance(error.instance, dict)
        and isinstance(schema, Mapping)
    ):
        known = sorted(schema.get("properties", {}))
        unknown = [key for key in error.instance if key not in known]
        yield from (
            _unknown_key(_dotted([*at, str(key)]), str(key), name, known) for key in unknown
        )
    elif rule == "required" and isinstance(error.instance, dict) and isinstance(schema, Mapping):
        missing = [_dotted([*at, key]) for key in schema["required"] if key not in error.instance]
        yield from (FieldError("config", f"{name}: {key} is missing", "add it") for key in missing)
    else:
        message = (
            error.message if len(error.message) <= 200 else f"{short(error.instance)} breaks {rule}"
        )
        where = f"{name}: {_dotted(at)}" if at else name
        yield FieldError("config", f"{where}: {message}", _number_hint(error.instance))


def _unknown_key(key: str, last: str, name: str, known: list[str]) -> FieldError:
    near = difflib.get_close_matches(short(last), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here are {', '.join(known)}"
    return FieldError("config", f"{name}: unknown key {short(key)}", hint)


def _not_finite(node: Any, name: str, path: tuple[Any, ...]) -> Iterator[FieldError]:
    """JSON Schema knows no NaN, so every bound lets it pass."""
    if isinstance(node, float) and not math.isfinite(node):
        yield FieldError("config", f"{name}: {_dotted(path)} must be a finite number, not {node}")
    children = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, child in children:
        yield from _not_finite(child, name, (*path, key))


def _dotted(path: Any) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(
        "."
    )


def _number_hint(value: object) -> str:
    looks_like_one = isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]+[eE][-+]?[0-9]+", value)
    return "write the number with a decimal point, like 5.0e-4" if looks_like_one else ""
