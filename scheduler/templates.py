"""This module reads Workflow templates, and parses each again only if its file has changed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflows.render import SUFFIX, TemplateError, load_template

_Signature = tuple[int, int, int, int]
#: A parsed template, or why it cannot be used.
_Parsed = dict[str, Any] | str


class Templates:
    """Templates are read from one folder; one whose file is missing is searched for each time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parsed: dict[str, tuple[_Signature, _Parsed]] = {}

    def load(self, name: str) -> dict[str, Any]:
        """Return a template, which nobody may change; raises TemplateError."""
        parsed = self._load(name)
        if isinstance(parsed, str):
            raise TemplateError(parsed)
        return parsed

    def broken(self, names: Iterable[str]) -> dict[str, str]:
        """Return which of these templates cannot be used now, and why."""
        found = {name: self._load(name) for name in set(names)}
        return {name: parsed for name, parsed in found.items() if isinstance(parsed, str)}

    def _load(self, name: str) -> _Parsed:
        signature = self._signature(name)
        known = self._parsed.get(name)
        if known is not None and known[0] == signature:
            return known[1]
        self._parsed.pop(name, None)
        parsed = self._parse(name)
        if signature is not None:
            self._parsed[name] = (signature, parsed)
        return parsed

    def _parse(self, name: str) -> _Parsed:
        try:
            return load_template(self._folder, name)
        except TemplateError as error:
            return str(error)

    def _signature(self, name: str) -> _Signature | None:
        """Return what changes with the file; a change of its permissions counts (ctime)."""
        try:
            status = (self._folder / f"{name}{SUFFIX}").stat()
        except (OSError, ValueError):
            return None
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
