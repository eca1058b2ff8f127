"""The language check of `make lint`: it finds the habits, and leaves ordinary English alone."""

import pytest

from devtools.plain_english import (
    COLUMNS,
    findings,
    habits_in,
    long_lines,
    open_docstrings,
    tracked,
)


def words(text: str) -> list[str]:
    return [found for _, found, _ in habits_in(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It mends itself", "mends"),
        ("made anew", "anew"),
        ("The scheduler goes on: Redis is back", "goes on"),
        ("def test_it_goes_on() -> None:", "goes_on"),
        ("a date that is none", "is none"),
        ("it is no template", "is no template"),
        ("the job is put aside", "put aside"),
        ("valid on and on", "on and on"),
        ("as it stands", "as it stands"),
        ("zoe is starting since 12 minutes", "is starting since"),
        ('f"the scheduler is halted since {when}"', "is halted since"),
        ("She submits", "She"),
        ("her job", "her"),
        ("POISON = 3", "POISON"),
        ("a foreign process", "foreign"),
        ("who is turned away", "turned away"),
        ("Whoever looks", "Whoever"),
    ],
)
def test_a_habit_is_found(text: str, found: str) -> None:
    assert words(text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "there is none",
        "There is no template",
        "value is None",
        "it is no longer there",
        "it is no larger than the limit",
        "the sentence goes on the page",
        "where other threads gather: recommend, amend, anewer",
        "It has been running since 12:00",
        "standstill",
    ],
)
def test_ordinary_english_is_left_alone(text: str) -> None:
    assert words(text) == []


def test_each_finding_names_file_line_and_better_word() -> None:
    assert findings("docs/a.md", "fine\nit mends\n") == ["docs/a.md:2: “mends” -> fix"]


def test_a_docstring_ends_with_a_full_stop() -> None:
    source = '"""Good."""\ndef a():\n    """No end"""\ndef _b():\n    """Private"""\n'
    assert list(open_docstrings(source)) == [(3, "a")]
    assert list(open_docstrings('"""A list follows:\n\na  b\n"""')) == []
    assert list(open_docstrings('"""A list is missing:"""')) == [(1, "module")]


def test_a_line_may_have_as_many_columns_as_the_formatter_leaves() -> None:
    assert list(long_lines("x" * COLUMNS)) == []
    assert list(long_lines(f"\n{'x' * (COLUMNS + 1)}")) == [(2, COLUMNS + 1)]


def test_only_python_files_have_docstrings_and_columns() -> None:
    text = "x" * (COLUMNS + 1)
    assert findings("README.md", text) == []
    assert findings("a.py", text) == [f"a.py:1: {COLUMNS + 1} columns; the limit is {COLUMNS}"]


def test_code_and_documents_are_checked_and_the_history_is_not() -> None:
    names = tracked()
    assert {"README.md", "Makefile", "scheduler/__main__.py"} <= set(names)
    assert {"CHANGELOG.md", "constraints.txt"}.isdisjoint(names)
