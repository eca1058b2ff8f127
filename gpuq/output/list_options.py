"""The options that all lists share, and the loop of `--watch`."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from gpuq.errors import ServerTrouble, Unreachable
from gpuq.output.listing import Format, Listing, Style, write
from gpuq.output.text import can_draw, has_colour, say

WATCH_S = 2.0
_CURSOR_HOME = "\x1b[H"
_CLEAR_REST_OF_LINE = "\x1b[K"
_CLEAR_REST_OF_SCREEN = "\x1b[J"
_CLEAR_SCREEN = "\x1b[2J"
#: While drawing, long lines are cut: wrapped ones would need more lines than counted and scroll.
_WRAPPING_OFF = "\x1b[?7l"
_WRAPPING_ON = "\x1b[?7h"


@dataclass(frozen=True)
class Output:
    """The values of the shared options."""

    form: Format = Format.TABLE
    heads: bool = True
    watch: bool = False

    def show(
        self, find: Callable[[], Listing], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Print what `find` returns once, or with --watch until Ctrl-C, which is not a failure."""
        redraws = self.watch and can_draw() and self.form.is_for_people
        shown = None
        try:
            found: Listing | str = find()
            while True:
                text = self._text(found)
                if redraws:
                    _redraw(text, found, is_first=shown is None)
                elif text != shown:
                    self._print(text, found)
                if not self.watch:
                    return
                shown = text
                sleep(WATCH_S)
                found = _patiently(find)
        except KeyboardInterrupt:
            if not self.watch:
                raise

    def _text(self, found: Listing | str) -> str:
        if isinstance(found, str):
            return found
        width = shutil.get_terminal_size().columns if can_draw() else None
        return write(
            found, self.form, Style(self.form is Format.WIDE, self.heads, width, has_colour())
        )

    def _print(self, text: str, found: Listing | str) -> None:
        if isinstance(found, str):
            say(found)
            return
        if text:
            click.echo(text, color=True)  # it has colour already, or none
        if found.notice and self.form.is_for_people:
            say(found.notice)


def _patiently(find: Callable[[], Listing]) -> Listing | str:
    """Return what `find` returns, or why the server does not answer: it may be back soon."""
    try:
        return find()
    except (Unreachable, ServerTrouble) as failure:
        return f"{failure} Retrying (Ctrl-C ends it)."


def _redraw(text: str, found: Listing | str, is_first: bool) -> None:
    """Draw over the previous picture; clearing the screen first would flicker."""
    more = found.notice if isinstance(found, Listing) else ""
    lines = f"{text}\n{more}".splitlines()[: max(shutil.get_terminal_size().lines - 1, 1)]
    picture = "".join(f"{line}{_CLEAR_REST_OF_LINE}\n" for line in lines)
    start = (_CLEAR_SCREEN if is_first else "") + _CURSOR_HOME + _WRAPPING_OFF
    end = _CLEAR_REST_OF_SCREEN + _WRAPPING_ON
    click.echo(f"{start}{picture}{end}", nl=False, color=True)


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add -o, --no-headers and -w; the command receives them as `output`."""

    @click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([form.value for form in Format]),
        default="table",
        show_default=True,
        help="Output format; json and yaml are the API's objects.",
    )
    @click.option("--no-headers", is_flag=True, help="Omit the line with the column names.")
    @click.option(
        "-w",
        "--watch",
        is_flag=True,
        help=f"Refresh every {WATCH_S:.0f} s; Ctrl-C ends it with exit code 0.",
    )
    @wraps(command)
    def run(*args: Any, form: str, no_headers: bool, watch: bool, **kwargs: Any) -> Any:
        return command(*args, output=Output(Format(form), not no_headers, watch), **kwargs)

    return run
