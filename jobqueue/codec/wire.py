"""This module reads JSON into frozen dataclasses, from one declaration per field.

A field's type says what its JSON value may be: a dataclass (an object), `bool`, `tuple[X, ...]` (a
list), `X | None` (null is allowed), or `Annotated[X, Rule(...)]`. Nothing is ever coerced, unknown
fields are ignored, and each refusal is one sentence that names the field by its path.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

Record = TypeVar("Record")
#: A function of a JSON value and its path, for example "gpus[0].uuid".
Reader = Callable[[Any, str], Any]

#: Metadata of a field that older senders leave out; the field's default then holds.
MAY_BE_ABSENT = {"may_be_absent": True}


class InvalidRecord(ValueError):
    """The JSON is not the record that was expected; the message is one sentence."""


@dataclass(frozen=True)
class Rule:
    """A rule for a value: `text` completes "FIELD must be …", `read` converts what is allowed."""

    allows: Callable[[Any], bool]
    text: str
    read: Callable[[Any], Any] = lambda value: value


_BOOLEAN = Rule(lambda value: isinstance(value, bool), "true or false")


def decode(record: type[Record], body: bytes | str) -> Record:
    """Return the record in a JSON text; raises InvalidRecord."""
    kind: Any = record
    return _read_object(kind)(_parse(body), "")


def _parse(body: bytes | str) -> Any:
    try:
        text = body.decode() if isinstance(body, bytes) else body
        return json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except InvalidRecord:
        raise
    except RecursionError:
        raise InvalidRecord("The JSON is nested too deeply.") from None
    except ValueError as error:  # bad UTF-8, bad JSON, an integer of thousands of digits
        raise InvalidRecord(f"The text is not JSON ({str(error)[:100]}).") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRecord("The JSON has a duplicate key in an object.")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRecord(f"The JSON has {name}, which is not a JSON number.")


def _reader(kind: Any) -> Reader:
    """Return the function that reads values of a field's type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _read_by_rule(inner[1])
    if origin in (Union, UnionType):
        return _read_nullable(_reader(inner[0]))
    if origin is tuple:
        return _read_list(_reader(inner[0]))
    return _read_by_rule(_BOOLEAN) if kind is bool else _read_object(kind)


def _read_by_rule(rule: Rule) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not rule.allows(value):
            raise InvalidRecord(f"{path} must be {rule.text}.")
        return rule.read(value)

    return read


def _read_nullable(read_inner: Reader) -> Reader:
    return lambda value, path: None if value is None else read_inner(value, path)


def _read_list(read_item: Reader) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise InvalidRecord(f"{path} must be a list.")
        return tuple(read_item(item, f"{path}[{i}]") for i, item in enumerate(value))

    return read


@cache
def _read_object(record: type[Any]) -> Reader:
    types = get_type_hints(record, include_extras=True)
    readers = [(field.name, _reader(types[field.name])) for field in fields(record)]
    may_be_absent = {field.name for field in fields(record) if field.metadata == MAY_BE_ABSENT}

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise InvalidRecord(f"{path or 'The JSON'} is not a JSON object.")
        found = {}
        for name, read_field in readers:
            inner = f"{path}.{name}" if path else name
            if name in value:
                found[name] = read_field(value[name], inner)
            elif name not in may_be_absent:
                raise InvalidRecord(f"{inner} is missing.")
        return record(**found)

    return read
