"""Show how far a build of minutes is: a line that is rewritten, or lines in a log file."""

import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

#: A terminal's line is rewritten this often; a file gets a new line this often.
TERMINAL_EVERY_S = 1.0
FILE_EVERY_S = 15.0


class Progress:
    """Counts the packages that Go has compiled for one program, and prints the count.

    `title` is the program with its number, such as `kube-apiserver (2/6)`.
    """

    def __init__(self, title: str, out: TextIO = sys.stdout, every_s: float | None = None) -> None:
        self._title = title
        self._out = out
        self._is_terminal = out.isatty()
        default_s = TERMINAL_EVERY_S if self._is_terminal else FILE_EVERY_S
        self._every_s = default_s if every_s is None else every_s
        self._began = time.monotonic()
        self._packages = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._report, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._print("started")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._print("done" if error is None else "failed", "\n")

    def count(self, line: str) -> None:
        """Take one line of `go build -v`: an import path for each compiled package."""
        if line and " " not in line:
            self._packages += 1

    def _report(self) -> None:
        while not self._over.wait(self._every_s):
            self._print("building")

    def _print(self, state: str, end: str = "") -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        text = f"{self._title}: {state}, {self._packages} packages compiled, {minutes}:{seconds:02}"
        if self._is_terminal:
            self._out.write(f"\r\x1b[K{text}{end}")
        else:
            self._out.write(f"{text}\n")
        self._out.flush()
