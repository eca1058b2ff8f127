"""Words for people: data on stdout, talk on stderr."""

from collections.abc import Sequence
from typing import Any

import click


def say(sentence: str) -> None:
    """Talk. A terminal that has gone away must not keep us from stopping in order."""
    try:
        click.echo(sentence, err=True)
    except OSError:
        pass  # nobody is there to read it


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns, the last one as long as it likes; None is shown as -."""
    cells = [list(heads), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads) - 1)]
    lines = ("  ".join([*(map(str.ljust, row, widths)), row[-1]]).rstrip() for row in cells)
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """Seconds as 1h22m, 2m05s or 9s; `?` where unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def indented(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else " ".join(str(value).split())
