"""Text for people: results go to stdout, messages to stderr."""

import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.cells import cell_len

from jobqueue.reason import Reason

#: A narrower wrapped column is harder to read than the terminal's own wrapping.
_NARROWEST = 24

Paint = Callable[[str], str]


def say(sentence: str) -> None:
    """Print a message to stderr. A closed terminal must not prevent an orderly stop."""
    try:
        click.echo(sentence, err=True)
    except OSError:
        pass  # nobody can read it


def can_draw() -> bool:
    """Tell whether stdout is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def has_colour() -> bool:
    """Tell whether to use colour; any non-empty NO_COLOR switches it off (no-color.org)."""
    return can_draw() and not os.environ.get("NO_COLOR")


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    width: int | None = None,
    paint: Paint | None = None,
) -> str:
    """Return aligned columns; the last one has any length, or is wrapped at `width`.

    None is shown as -. Without `heads` there is no header line. `paint` colours a cell's text.
    """
    cells = [[cell(value) for value in row] for row in rows]
    top = [list(heads)] if heads else []
    widths = [max(map(cell_len, column)) for column in zip(*top, *cells, strict=True)][:-1]
    head = [_line(row, widths, width, None) for row in top]
    return "\n".join([*head, *(_line(row, widths, width, paint) for row in cells)])


def _line(row: Sequence[str], widths: Sequence[int], width: int | None, paint: Paint | None) -> str:
    indent = sum(widths) + 2 * len(widths)
    room = None if width is None or width - indent < _NARROWEST else width - indent
    last = row[-1] if room is None else f"\n{' ' * indent}".join(textwrap.wrap(row[-1], room))
    padded = [_padded(text, size, paint) for text, size in zip(row[:-1], widths, strict=True)]
    return "  ".join([*padded, last if paint is None else paint(last)]).rstrip()


def _padded(text: str, size: int, paint: Paint | None) -> str:
    return (text if paint is None else paint(text)) + " " * (size - cell_len(text))


def cell(value: Any) -> str:
    """Return the value on one line, or - if it is empty."""
    return "-" if value is None or value == "" else clean(" ".join(str(value).split()))


def clean(line: str) -> str:
    """Replace control characters, which a training may have written and a terminal would obey."""
    line = line.expandtabs()
    if line.isprintable():
        return line
    return "".join(letter if letter.isprintable() else "�" for letter in line)


def duration(seconds: float | None) -> str:
    """Return seconds as 1h22m, 2m05s or 9s; `?` if unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def reason_text(reason: Mapping[str, Any]) -> str:
    """Return a reason's message with the quoted log line, which only the job's user receives."""
    return Reason("", str(reason.get("message") or ""), str(reason.get("detail") or "")).sentence


def indented(lines: Sequence[str]) -> str:
    """Return the lines with an indentation of four."""
    return "\n".join(f"    {line}" for line in lines)
