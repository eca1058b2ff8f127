"""What a command found, and how it is written: as a table, as the API's own JSON or YAML, or as names alone. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import click

from gpuq.output.text import cell, clean, table

Item = Mapping[str, Any]


class Format(StrEnum):
    """The values of `-o`."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"

    @property
    def is_for_people(self) -> bool:
        return self in (Format.TABLE, Format.WIDE)


@dataclass(frozen=True)
class Style:
    """How a table is drawn; `width` is the terminal's, None where the text goes into a pipe or a file."""

    is_wide: bool = False
    heads: bool = True
    width: int | None = None
    colour: bool = False


class Body(Protocol):
    """What is drawn for people; an empty text where there is nothing."""

    def draw(self, style: Style) -> str: ...


@dataclass(frozen=True)
class Listing:
    """`answer` is the API's object, as it came; `names` what `-o name` prints; `talk` goes to stderr beside a table."""

    answer: Item
    body: Body
    names: Sequence[str]
    talk: str = ""


@dataclass(frozen=True)
class Column:
    """One column; the `wide` ones are shown with `-o wide` alone."""

    head: str
    read: Callable[[Item], Any]
    wide: bool = False


@dataclass(frozen=True)
class Rows:
    """A row an item. The last column is the one that may be long."""

    columns: Sequence[Column]
    items: Sequence[Item]

    def draw(self, style: Style) -> str:
        if not self.items:
            return ""
        columns = [column for column in self.columns if style.is_wide or not column.wide]
        heads = [column.head for column in columns] if style.heads else []
        rows = [[column.read(item) for column in columns] for item in self.items]
        width = None if style.is_wide else style.width  # whoever asks for wide wants a line a row
        return table(heads, rows, width, painted if style.colour else None)


@dataclass(frozen=True)
class Facts:
    """A name and its value a line; what has no value is left out."""

    facts: Sequence[tuple[str, str]]

    def draw(self, style: Style) -> str:
        width = max(len(name) for name, _ in self.facts)
        return "\n".join(
            f"{name:{width}}  {_shown(value, style)}" for name, value in self.facts if value
        )


def _shown(value: str, style: Style) -> str:
    return painted(clean(value)) if style.colour else clean(value)


def write(listing: Listing, form: Format, style: Style) -> str:
    """The text for stdout, without a newline at its end."""
    match form:
        case Format.JSON:
            return json.dumps(listing.answer, indent=2, ensure_ascii=False)
        case Format.YAML:
            return _yaml(listing.answer)
        case Format.NAME:
            return "\n".join(map(cell, listing.names))
        case _:
            return listing.body.draw(style)


def _yaml(answer: Item) -> str:
    import yaml  # only here: it costs every other command a tenth of its start

    return yaml.safe_dump(dict(answer), sort_keys=False, allow_unicode=True).rstrip("\n")


_COLOURS = {
    "running": "green", "succeeded": "green", "available": "green", "ok": "green",
    "admitted": "cyan", "queued": "yellow", "busy": "yellow",
    "failed": "red", "away": "red", "!!": "red", "cancelled": "bright_black",
}  # fmt: skip


def painted(text: str) -> str:
    """A word that says how something stands in its colour; all other text as it is."""
    return click.style(text, fg=_COLOURS[text]) if text in _COLOURS else text
