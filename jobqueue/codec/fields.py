"""This module derives every stored and shown form of a record from its dataclass.

A field is declared once, in its dataclass. Its type selects how it is written as a text of a Redis
hash, as a JSON value, and as JSON Schema: `str`, `int`, `float` (a time: seconds since the epoch
here, RFC 3339 outside), `tuple[str, ...]`, a `StrEnum`, and each of them `| None`. Its metadata
names the exceptions: LARGE, INTERNAL, BY_SCRIPTS, IN_BACKUP.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from enum import StrEnum
from types import NoneType
from typing import Any, get_args, get_type_hints

from jobqueue.clock import rfc3339, seconds

Schema = dict[str, Any]

#: Left out of lists and of the record in an API answer: it may be many kilobytes.
LARGE = {"large": True}
#: Not shown by the API.
INTERNAL = {"internal": True}
#: Written by the Redis scripts alone, so `to_hash` leaves it out.
BY_SCRIPTS = {"by_scripts": True}
#: Kept in a backup and restored from it (every field of a submission is).
IN_BACKUP = {"in_backup": True}
_ANY: Mapping[str, Any] = {}

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TIME: Schema = {"type": "string", "format": "date-time"}


def nullable(schema: Schema) -> Schema:
    """Return the schema of the same value or null."""
    if "type" not in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def list_of(schema: Schema) -> Schema:
    """Return the schema of a list of such values."""
    return {"type": "array", "items": schema}


@dataclass(frozen=True)
class Codec:
    """A codec converts values of one type: `write`/`read` as text, `show`/`take` as JSON."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]
    show: Callable[[Any], Any]
    take: Callable[[Any], Any]
    schema: Schema
    #: None is written as an absent field; otherwise as an empty text
    omits_none: bool = False


def _same(value: Any) -> Any:
    return value


def _take_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


_TEXT = Codec(_same, _same, _same, _take_text, TEXT)
_COUNT = Codec(str, int, _same, int, COUNT)
_TIME = Codec(rfc3339, seconds, rfc3339, seconds, TIME)
_TEXTS = Codec(
    lambda value: json.dumps(list(value)),
    lambda text: tuple(json.loads(text)),
    list,
    tuple,
    list_of(TEXT),
)
_CODECS: dict[Any, Codec] = {str: _TEXT, int: _COUNT, float: _TIME, tuple[str, ...]: _TEXTS}


def _codec(kind: Any) -> Codec | None:
    """Return the codec of a field's type; None for a nested record, which has fields of its own."""
    inner = [each for each in get_args(kind) if each is not NoneType]
    if NoneType in get_args(kind):
        codec = _codec(inner[0])
        return codec and _or_none(codec)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        schema = {"type": "string", "enum": [member.value for member in kind]}
        return Codec(str, kind, str, kind, schema)
    return _CODECS.get(kind)


def _or_none(codec: Codec) -> Codec:
    return Codec(
        lambda value: "" if value is None else codec.write(value),
        codec.read,
        lambda value: None if value is None else codec.show(value),
        lambda value: None if value is None else codec.take(value),
        nullable(codec.schema),
        omits_none=codec is _TIME,
    )


@dataclass(frozen=True)
class Declared:
    """One field as its dataclass declares it."""

    name: str
    codec: Codec
    required: bool
    flags: Mapping[str, Any]

    @property
    def is_shown(self) -> bool:
        """Return whether the record in an API answer has this field."""
        return not (self.flags.get("large") or self.flags.get("internal"))


def _is_required(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


class Fields:
    """The fields of one dataclass, without those that are records themselves."""

    def __init__(self, record: type) -> None:
        types = get_type_hints(record)
        found = [(each, _codec(types[each.name])) for each in fields(record)]
        self.all = tuple(
            Declared(each.name, codec, _is_required(each), each.metadata)
            for each, codec in found
            if codec
        )
        self.listed = tuple(each.name for each in self.all if not each.flags.get("large"))
        self.large = tuple(each.name for each in self.all if each.flags.get("large"))
        self.schemas = {each.name: each.codec.schema for each in self.all if each.is_shown}
        shown = [each for each in self.all if each.is_shown]
        written = [each for each in self.all if not each.flags.get("by_scripts")]
        # What follows makes the loops below short: they run for every record of a list.
        self._read = [(each.name, each.codec.read, each.required) for each in self.all]
        self._shown = [(each.name, each.codec.show) for each in shown]
        self._written = [(each.name, each.codec.write, each.codec.omits_none) for each in written]

    def to_hash(self, record: Any) -> dict[str, str]:
        """Return the texts of a Redis hash."""
        values = record.__dict__
        return {
            name: write(values[name])
            for name, write, omits_none in self._written
            if not omits_none or values[name] is not None
        }

    def from_hash(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the values in a Redis hash; an absent or empty field keeps its default.

        Raises KeyError if a field without a default is absent, ValueError or TypeError.
        """
        found = {}
        for name, read, required in self._read:
            text = texts.get(name)
            if text:
                found[name] = read(text)
            elif required:
                found[name] = read(texts[name])
        return found

    def shown(self, record: Any) -> dict[str, Any]:
        """Return the JSON values that the API shows."""
        values = record.__dict__
        return {name: show(values[name]) for name, show in self._shown}

    def to_json(self, record: Any, flag: Mapping[str, Any] = _ANY) -> dict[str, Any]:
        """Return the JSON values of the fields with this flag, for example IN_BACKUP."""
        return {
            each.name: each.codec.show(getattr(record, each.name))
            for each in self.all
            if flag.items() <= each.flags.items()
        }

    def from_json(
        self, values: Mapping[str, Any], flag: Mapping[str, Any] = _ANY
    ) -> dict[str, Any]:
        """Read what `to_json` wrote; an absent field keeps its default. Raises as `from_hash`."""
        return {
            each.name: each.codec.take(values[each.name])
            for each in self.all
            if flag.items() <= each.flags.items() and (each.required or each.name in values)
        }
