"""Check a configuration's text against the template's JSON Schema. Pure."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from queue_manager.http.nearest import did_you_mean
from queue_manager.http.problems import MOST_ERRORS, FieldError, short
from queue_manager.submission import strict_yaml

SCHEMA_SUFFIX = ".schema.json"
_MOST_READ = 100
_LONGEST_MESSAGE = 200


class BrokenSchema(Exception):
    """The template's schema cannot be used; the text is one sentence."""


@dataclass(frozen=True)
class Schema:
    """A template's JSON Schema; two with the same text are the same."""

    text: str

    @classmethod
    def of_template(cls, folder: Path, name: str) -> "Schema | None":
        """Read the schema beside the template `name`; None if it has none. Raises BrokenSchema."""
        path = folder / f"{name}{SCHEMA_SUFFIX}"
        try:
            return cls(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenSchema(f"{path} cannot be read: {error}") from error


@lru_cache(maxsize=64)  # pure, and a lab submits the same few files many times
def broken_keys(text: str, name: str, schema: Schema | None) -> tuple[FieldError, ...]:
    """Return the first rules that the configuration `name` breaks. Raises BrokenSchema.

    Unknown keys come first, because a mistyped key usually causes the other errors too.
    """
    try:
        config = strict_yaml.parse(text)
    except strict_yaml.NotAccepted as error:
        return (FieldError("config", f"{name}: {error}"),)
    if schema is None:
        return ()
    found = _schema_errors(config, schema)
    found.sort(key=lambda error: error.validator != "additionalProperties")
    broken = chain(
        (key for error in found for key in _field_errors(error, name)),
        _not_finite(config, name, ()),
    )
    return tuple(islice(_each_once(broken), MOST_ERRORS))


def _each_once(errors: Iterable[FieldError]) -> Iterator[FieldError]:
    """Yield each error once: `required` is reported for each missing key, and names all of them."""
    seen = set()
    for error in errors:
        if error not in seen:
            seen.add(error)
            yield error


def _schema_errors(config: Any, schema: Schema) -> list[ValidationError]:
    try:
        errors = islice(_validator(schema).iter_errors(config), _MOST_READ)
        return [_leaf(error) for error in errors]
    except (ValueError, SchemaError, Unresolvable, RecursionError) as error:
        raise BrokenSchema(
            f"The template's schema is broken ({short(str(error))}); an admin must fix it."
        ) from error


@lru_cache(maxsize=16)
def _validator(schema: Schema) -> Draft202012Validator:
    # An empty registry: a $ref to another host is an error, never a download.
    Draft202012Validator.check_schema(json.loads(schema.text))
    return Draft202012Validator(json.loads(schema.text), registry=Registry())


# -- sentences -------------------------------------------------------------------------------------


def _leaf(error: ValidationError) -> ValidationError:
    """Return the error of the best branch of an anyOf; the anyOf's own error explains nothing."""
    best = best_match(iter([error]))
    return best if isinstance(best, ValidationError) else error


def _field_errors(error: ValidationError, name: str) -> Iterator[FieldError]:
    rule, schema, config = str(error.validator), error.schema, error.instance
    at = error.absolute_path
    if isinstance(config, dict) and isinstance(schema, Mapping):
        if rule == "additionalProperties":
            known = sorted(schema.get("properties", {}))
            unknown = [str(key) for key in config if key not in known]
            yield from (_unknown_key(_dotted([*at, key]), key, name, known) for key in unknown)
            return
        if rule == "required":
            missing = [_dotted([*at, key]) for key in schema["required"] if key not in config]
            rules = (f"{name}: {key} is missing" for key in missing)
            yield from (FieldError("config", rule, "add it") for rule in rules)
            return
    is_short = len(error.message) <= _LONGEST_MESSAGE
    message = error.message if is_short else f"{short(config)} breaks {rule}"
    where = f"{name}: {_dotted(at)}" if at else name
    yield FieldError("config", f"{where}: {message}", _number_hint(config))


def _unknown_key(key: str, last: str, name: str, known: list[str]) -> FieldError:
    hint = did_you_mean(last, known) or f"known here are {', '.join(known)}"
    return FieldError("config", f"{name}: unknown key {short(key)}", hint)


def _not_finite(node: Any, name: str, path: tuple[Any, ...]) -> Iterator[FieldError]:
    """Find NaN and infinities; JSON Schema does not know them, so they pass every bound."""
    if isinstance(node, float) and not math.isfinite(node):
        yield FieldError("config", f"{name}: {_dotted(path)} must be a finite number, not {node}")
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield from _not_finite(child, name, (*path, key))


def _dotted(path: Any) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).lstrip(".")


def _number_hint(value: object) -> str:
    looks_like_one = isinstance(value, str) and re.fullmatch(r"[-+]?[0-9]+[eE][-+]?[0-9]+", value)
    return "write the number with a decimal point, like 5.0e-4" if looks_like_one else ""
