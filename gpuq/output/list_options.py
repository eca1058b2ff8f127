"""The options that all lists share, and the loop behind `--watch`."""

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
_HOME, _REST_OF_LINE, _REST_OF_SCREEN, _ALL = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"
#: Longer lines end at the edge, or a picture would be higher than counted and scroll.
_CUT_LINES, _WRAP_LINES = "\x1b[?7l", "\x1b[?7h"


@dataclass(frozen=True)
class Output:
    """What the shared options said."""

    form: Format = Format.TABLE
    heads: bool = True
    watch: bool = False

    def show(
        self, find: Callable[[], Listing], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Print what `find` finds: once, or with --watch again and again until Ctrl-C, which is no failure there."""
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
            click.echo(text, color=True)  # whether there is colour in it was decided already
        if found.talk and self.form.is_for_people:
            say(found.talk)


def _patiently(find: Callable[[], Listing]) -> Listing | str:
    """What is found, or while the server is away why: whoever watches wants to see it come back."""
    try:
        return find()
    except (Unreachable, ServerTrouble) as failure:
        return f"{failure} Looking on (Ctrl-C ends it)."


def _redraw(text: str, found: Listing | str, is_first: bool) -> None:
    """Drawn over the last picture instead of on an empty screen, which would flicker."""
    more = found.talk if isinstance(found, Listing) else ""
    lines = f"{text}\n{more}".splitlines()[: max(shutil.get_terminal_size().lines - 1, 1)]
    start = (_ALL if is_first else "") + _HOME
    picture = "".join(f"{line}{_REST_OF_LINE}\n" for line in lines)
    click.echo(f"{start}{_CUT_LINES}{picture}{_REST_OF_SCREEN}{_WRAP_LINES}", nl=False, color=True)


def list_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """-o, --no-headers and -w; the command gets them as `output`."""

    @click.option("-o", "--output", "form", type=click.Choice([form.value for form in Format]), default="table",
                  show_default=True, help="json and yaml are the API's own objects.")  # fmt: skip
    @click.option("--no-headers", is_flag=True, help="Without the line of column names.")
    @click.option(
        "-w",
        "--watch",
        is_flag=True,
        help=f"Look again every {WATCH_S:.0f} s; Ctrl-C ends it, exit code 0.",
    )
    @wraps(command)
    def run(*args: Any, form: str, no_headers: bool, watch: bool, **kwargs: Any) -> Any:
        return command(*args, output=Output(Format(form), not no_headers, watch), **kwargs)

    return run
