"""This module reads the list of equivalent mutants, which no test can kill, with their reasons."""

from pathlib import Path
from typing import Any

import yaml

from devtools import ROOT
from devtools.mutants.mutations import Mutant

FILE = ROOT / "tests/mutants/equivalent.yaml"
_FIELDS = {"file", "where", "before", "after", "reason"}

Key = tuple[str, str, str, str]


def load(path: Path = FILE) -> set[Key]:
    """Return the keys of the listed mutants; raises ValueError if an entry is incomplete."""
    return {_key(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8")) or []}


def entry(mutant: Mutant) -> str:
    """Return the lines that list this mutant, with a reason to be filled in."""
    file, where, before, after = mutant.key
    fields = {"file": file, "where": where, "before": before, "after": after, "reason": ""}
    return yaml.safe_dump([fields], sort_keys=False, width=1000, allow_unicode=True)


def _key(entry: dict[str, Any]) -> Key:
    if set(entry) != _FIELDS or not all(entry[name] for name in _FIELDS - {"where", "after"}):
        raise ValueError(f"An entry of {FILE.name} needs {', '.join(sorted(_FIELDS))}: {entry}")
    return entry["file"], entry["where"] or "", entry["before"], entry["after"] or ""
