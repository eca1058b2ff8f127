"""One measured number with its target, and how results are kept."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devtools import ROOT

RESULTS = ROOT / "benchmarks" / "results.json"
TABLE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: made by `make bench`, do not edit -->\n", "<!-- end of results -->\n"


@dataclass(frozen=True)
class Result:
    """`value` in `unit` (NaN: unmeasured); it holds when at most `target`, or at least where the
    bound is "≥".
    """

    name: str
    value: float
    unit: str
    target: float
    bound: Literal["≤", "≥"] = "≤"

    @property
    def holds(self) -> bool:
        return self.value <= self.target if self.bound == "≤" else self.value >= self.target

    def to_dict(self) -> dict[str, object]:
        if math.isnan(self.value):  # JSON has no such number
            return {
                "name": self.name,
                "value": None,
                "unit": self.unit,
                "target": None,
                "holds": None,
            }
        fields = {"name": self.name, "value": self.value, "unit": self.unit, "target": self.target}
        return {**fields, "holds": self.holds}

    def row(self) -> str:
        if math.isnan(self.value):
            return f"| {self.name} | unmeasured | – | – |"
        measured = f"{self.value:.3g} {self.unit}".strip()
        target = f"{self.target:g} {self.unit}".strip()
        holds = "yes" if self.holds else "no"
        return f"| {self.name} | {measured} | {self.bound} {target} | {holds} |"


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.99 * (len(values) - 1)))]


def save(
    results: Sequence[Result], into: Path = RESULTS, begin: str = BEGIN, end: str = END
) -> None:
    """Write the JSON file, and the table in docs/performance.md between its two marks."""
    into.write_text(
        json.dumps([result.to_dict() for result in results], indent=2) + "\n", encoding="utf-8"
    )
    text = TABLE.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    TABLE.write_text(before + begin + _table(results) + end + after, encoding="utf-8")


def _table(results: Sequence[Result]) -> str:
    python = f"Python {platform.python_version()}"
    system = f"{platform.system()} {platform.release()}"
    head = [
        f"Measured on: {os.cpu_count()} cores, {python}, {system}.",
        "",
        "| what | measured | target | holds |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *(result.row() for result in results), ""])
