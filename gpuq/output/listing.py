"""Write a command's result as a table, as the API's JSON or YAML, or as names only. Pure."""

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
        """A table, which programs should not read."""
        return self in (Format.TABLE, Format.WIDE)


@dataclass(frozen=True)
class Style:
    """The style of a table; `width` is the terminal's, None for a pipe or a file."""

    is_wide: bool = False
    heads: bool = True
    width: int | None = None
    colour: bool = False


class Body(Protocol):
    """A part that can be drawn for people."""

    def draw(self, style: Style) -> str:
        """Return the text; empty if there is nothing to show."""
        ...


@dataclass(frozen=True)
class Listing:
    """A command's result.

    `answer` is the API's object as received, `names` is what `-o name` prints, and `notice` is a
    message that accompanies a table on stderr.
    """

    answer: Item
    body: Body
    names: Sequence[str]
    notice: str = ""


@dataclass(frozen=True)
class Column:
    """One column; `wide` ones are shown only with `-o wide`."""

    head: str
    read: Callable[[Item], Any]
    wide: bool = False


@dataclass(frozen=True)
class Rows:
    """One row per item; the last column may be long."""

    columns: Sequence[Column]
    items: Sequence[Item]

    def draw(self, style: Style) -> str:
        """Return the table; empty without items."""
        if not self.items:
            return ""
        columns = [column for column in self.columns if style.is_wide or not column.wide]
        heads = [column.head for column in columns] if style.heads else []
        rows = [[column.read(item) for column in columns] for item in self.items]
        width = None if style.is_wide else style.width  # wide has one line per row
        return table(heads, rows, width, painted if style.colour else None)


@dataclass(frozen=True)
class Facts:
    """One name and its value per line; names without a value are left out."""

    facts: Sequence[tuple[str, str]]

    def draw(self, style: Style) -> str:
        """Return the lines."""
        width = max(len(name) for name, _ in self.facts)
        return "\n".join(
            f"{name:{width}}  {_shown(value, style)}" for name, value in self.facts if value
        )


def _shown(value: str, style: Style) -> str:
    return painted(clean(value)) if style.colour else clean(value)


def write(listing: Listing, form: Format, style: Style) -> str:
    """Return the text for stdout, without a newline at its end."""
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
    import yaml  # imported only here: loading it takes a tenth of the start

    return yaml.safe_dump(dict(answer), sort_keys=False, allow_unicode=True).rstrip("\n")


_COLOURS = {
    "running": "green", "succeeded": "green", "available": "green", "ok": "green",
    "admitted": "cyan", "queued": "yellow", "busy": "yellow",
    "failed": "red", "unreachable": "red", "!!": "red", "cancelled": "bright_black",
}  # fmt: skip


def painted(text: str) -> str:
    """Return a word for a state in its colour, and all other text unchanged."""
    return click.style(text, fg=_COLOURS[text]) if text in _COLOURS else text
