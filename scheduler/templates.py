"""The Workflow templates, parsed once until their file changes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflows.render import SUFFIX, TemplateError, load_template

_Signature = tuple[int, int, int]


class Templates:
    """The templates of one folder. A template that cannot be used is read again each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed: dict[str, tuple[_Signature, dict[str, Any]]] = {}

    def load(self, name: str) -> dict[str, Any]:
        """Return a template, which nobody may change; raises TemplateError."""
        signature = self._signature(name)
        known = self._parsed.get(name)
        if known is not None and known[0] == signature:
            return known[1]
        self._parsed.pop(name, None)
        template = load_template(self._folder, name)
        if signature is not None:
            self._parsed[name] = (signature, template)
        return template

    def broken(self, names: Iterable[str]) -> dict[str, str]:
        """Return which of these templates cannot be used now, and why."""
        found = {}
        for name in set(names):
            try:
                self.load(name)
            except TemplateError as error:
                found[name] = str(error)
        return found

    def _signature(self, name: str) -> _Signature | None:
        try:
            status = (self._folder / f"{name}{SUFFIX}").stat()
        except (OSError, ValueError):
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
