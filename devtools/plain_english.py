"""Find habits of language that a reader stumbles over, docstrings without an end, and long lines.

`python -m devtools.plain_english` prints `file:line: habit -> better word` for every tracked file
and exits with code 1 if it found one. The list is short on purpose: it holds what a pattern can
find. The house rule itself is in CONTRIBUTING.md.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from devtools import ROOT

COLUMNS = 100
SUFFIXES = {".py", ".lua", ".md", ".yaml", ".yml", ".j2", ".sh", ".toml"}
NAMES = {"Makefile", "Dockerfile"}
#: History, and files whose subject are the words themselves.
LEFT_OUT = {
    "CHANGELOG.md",
    "docs/glossary.md",
    "devtools/plain_english.py",
    "tests/unit/test_plain_english.py",
}
#: habit -> better word. A space also matches the underscore of a name, such as that of a test.
HABITS = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again",
    r"(goes|went) on(?! (the|a|an|top|each|every|your|that|this)\b)": "continues, resumes",
    r"(?<!there )is none": "is not a …, is not one",
    r"(?<!there )is no (?!longer|more|need|news|use|fun)(?!one\b|\w+er\b)\w+": "is not a …",
    r"puts? aside": "quarantined (queue entries), failed (jobs)",
    r"on and on": "without end, never expires",
    r"as (it|they) stands?": "as it is",
    r"stands as": "is",
    r"(is|are) (?:\w+ ){0,4}since(?= (?:\d|\{))": "has been … for, has been … since",
    r"she|her|hers|herself": "they, the user",
    r"poison(s|ed|ous)?": "internal_error",
    r"foreign": "unmanaged, another",
    r"stray": "unmanaged",
    r"turned away": "unschedulable, not accepted",
    r"amiss": "wrong",
    r"who(so)?ever": "anyone who, the user",
    r"lest|thereof|whence|hence": "a plain conjunction",
}
#: (file, matched text): quotations of what older versions stored or of what other programs print.
ALLOWED: set[tuple[str, str]] = {
    ("jobqueue/reason.py", "poison"),
    ("jobqueue/service/log.py", "foreign"),  # `foreign_pre_chain` of structlog
    ("tests/unit/jobqueue/test_recorded.py", "poison"),
}

_PATTERNS = {
    re.compile(rf"(?<![A-Za-z])(?:{habit.replace(' ', '[ _]')})(?![A-Za-z])", re.IGNORECASE): better
    for habit, better in HABITS.items()
}


def habits_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, matched text, better word) of each habit in a text."""
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, better in _PATTERNS.items():
            for found in pattern.finditer(line):
                if "None" not in found[0]:  # the Python keyword
                    yield number, found[0], better


def open_docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line number, name) of each public docstring whose first paragraph has no end.

    A full stop ends it, or a colon if a list follows.
    """
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, kinds):
            continue
        name = getattr(node, "name", "module")
        text = ast.get_docstring(node)
        if text and not name.startswith("_") and not _has_an_end(text):
            yield node.body[0].lineno, name


def long_lines(source: str) -> Iterator[tuple[int, int]]:
    """Yield (line number, columns) of each line that is too long."""
    for number, line in enumerate(source.splitlines(), start=1):
        if len(line) > COLUMNS:
            yield number, len(line)


def findings(name: str, text: str) -> list[str]:
    """Return what is wrong with one file, a line each; `name` is its path below the root."""
    found = [
        f"{name}:{number}: “{words}” -> {better}"
        for number, words, better in habits_in(text)
        if (name, words.lower()) not in ALLOWED
    ]
    if name.endswith(".py"):
        found += [
            f"{name}:{number}: the docstring of {owner} does not end with a full stop"
            for number, owner in open_docstrings(text)
        ]
        found += [
            f"{name}:{number}: {columns} columns; the limit is {COLUMNS}"
            for number, columns in long_lines(text)
        ]
    return found


def tracked() -> list[str]:
    """Return the paths of the tracked files that are checked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = (Path(name) for name in listed.stdout.split("\0") if name)
    return [
        str(path)
        for path in paths
        if (path.suffix in SUFFIXES or path.name in NAMES)
        and str(path) not in LEFT_OUT
        and (ROOT / path).is_file()
    ]


def main() -> int:
    """Print all findings; return the exit code."""
    found = [
        line for name in tracked() for line in findings(name, (ROOT / name).read_text("utf-8"))
    ]
    print("".join(f"{line}\n" for line in found), end="")
    return 1 if found else 0


def _has_an_end(docstring: str) -> bool:
    first, _, rest = docstring.partition("\n\n")
    return first.rstrip().endswith(".") or (first.rstrip().endswith(":") and bool(rest))


if __name__ == "__main__":
    sys.exit(main())
