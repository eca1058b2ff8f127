"""The commands that the documentation shows, and the shape of what they print.

A ```console block holds commands (lines that begin with `$ `, continued while a line ends with a
backslash) and, below each, what it printed. Numbers may differ when it is run again, and `…` stands
for anything; the rest must be as shown.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command with the lines that the document shows below it."""

    text: str
    shown: tuple[str, ...]


def commands(document: Path) -> list[Command]:
    """Return every command of the document's console blocks, in order."""
    found: list[Command] = []
    for block in _BLOCK.findall(document.read_text(encoding="utf-8")):
        found += _of_block(block.splitlines())
    return found


def _of_block(lines: list[str]) -> list[Command]:
    found: list[tuple[str, list[str]]] = []
    continued = False
    for line in lines:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif continued:
            found[-1] = (f"{found[-1][0]}\n{line}", found[-1][1])
        elif found:
            found[-1][1].append(line)
        continued = line.endswith("\\") and (line.startswith("$ ") or continued)
    return [Command(text, tuple(shown)) for text, shown in found]


def shape(line: str) -> re.Pattern[str]:
    """Match the line with other numbers and white space in it, and anything in place of `…`."""
    pattern = re.escape(" ".join(line.split()))
    pattern = re.sub(r"\d[\d.:]*(?<!\.)", r"[\\d.:]+", pattern.replace("\\.", "."))
    return re.compile(pattern.replace("…", ".*"))


def missing_lines(shown: tuple[str, ...], printed: list[str]) -> list[str]:
    """Return the shown lines that were not printed in this order."""
    rest, missing = iter([" ".join(line.split()) for line in printed]), []
    for line in shown:
        if (
            line.strip()
            and line.strip() != "…"
            and not any(shape(line).fullmatch(other) for other in rest)
        ):
            missing.append(line)
            break
    return missing
