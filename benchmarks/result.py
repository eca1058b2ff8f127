"""One measured number with its target, and how results are kept."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
TABLE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- results: made by `make bench`, do not edit -->\n", "<!-- end of results -->\n"


@dataclass(frozen=True)
class Result:
    """`value` in `unit`; it holds when it is at most `target`, or at least where the bound is "≥"."""

    name: str
    value: float
    unit: str
    target: float
    bound: Literal["≤", "≥"] = "≤"

    @property
    def holds(self) -> bool:
        return self.value <= self.target if self.bound == "≤" else self.value >= self.target

    def to_dict(self) -> dict[str, object]:
        fields = {"name": self.name, "value": self.value, "unit": self.unit, "target": self.target}
        return {**fields, "holds": self.holds}


def p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, round(0.99 * (len(values) - 1)))]


def save(results: Sequence[Result]) -> None:
    """Write results.json, and the table in docs/performance.md between its two marks."""
    RESULTS.write_text(json.dumps([result.to_dict() for result in results], indent=2) + "\n", encoding="utf-8")
    text = TABLE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    TABLE.write_text(before + BEGIN + _table(results) + END + after, encoding="utf-8")


def _table(results: Sequence[Result]) -> str:
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    rows = [
        f"| {r.name} | {r.value:.3g} {r.unit} | {r.bound} {r.target:g} {r.unit} | {'yes' if r.holds else 'no'} |"
        for r in results
    ]
    return "\n".join(
        [f"Measured on: {machine}.", "", "| what | measured | target | holds |", "|---|---|---|---|", *rows, ""]
    )
