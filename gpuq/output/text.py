"""Words for people: data on stdout, talk on stderr."""

import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.cells import cell_len

#: Below this a wrapped column is worse to read than what the terminal does by itself.
_NARROWEST = 24

Paint = Callable[[str], str]


def say(sentence: str) -> None:
    """Talk. A terminal that has gone away must not keep us from stopping in order."""
    try:
        click.echo(sentence, err=True)
    except OSError:
        pass  # nobody is there to read it


def can_draw() -> bool:
    """Whether stdout is a terminal that moves its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def has_colour() -> bool:
    """https://no-color.org: any value but the empty one switches it off."""
    return can_draw() and not os.environ.get("NO_COLOR")


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    width: int | None = None,
    paint: Paint | None = None,
) -> str:
    """Aligned columns, the last one as long as it likes, or wrapped at `width`; None is shown as -, no heads as none.

    `paint` is given each cell as it will be shown.
    """
    cells = [[cell(value) for value in row] for row in rows]
    top = [list(heads)] if heads else []
    widths = [max(map(cell_len, column)) for column in zip(*top, *cells, strict=True)][:-1]
    lines = [_line(row, widths, width, None) for row in top] + [
        _line(row, widths, width, paint) for row in cells
    ]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int], width: int | None, paint: Paint | None) -> str:
    indent = sum(widths) + 2 * len(widths)
    room = None if width is None or width - indent < _NARROWEST else width - indent
    last = row[-1] if room is None else f"\n{' ' * indent}".join(textwrap.wrap(row[-1], room))
    padded = [_padded(text, size, paint) for text, size in zip(row[:-1], widths, strict=True)]
    return "  ".join([*padded, last if paint is None else paint(last)]).rstrip()


def _padded(text: str, size: int, paint: Paint | None) -> str:
    return (text if paint is None else paint(text)) + " " * (size - cell_len(text))


def cell(value: Any) -> str:
    """A value on one line; nothing is shown as -."""
    return "-" if value is None or value == "" else clean(" ".join(str(value).split()))


def clean(line: str) -> str:
    """Without what could steer a terminal: some of it was written by a training."""
    line = line.expandtabs()
    return (
        line
        if line.isprintable()
        else "".join(letter if letter.isprintable() else "�" for letter in line)
    )


def duration(seconds: float | None) -> str:
    """Seconds as 1h22m, 2m05s or 9s; `?` where unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)
