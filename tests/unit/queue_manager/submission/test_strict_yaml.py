"""YAML is read strictly: what is not accepted is named with its line."""

from typing import Any

import pytest

from queue_manager.submission.strict_yaml import NotAccepted, parse

DIGITS = "9" * 1000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: {b: [1, 2.5, x]}", {"a": {"b": [1, 2.5, "x"]}}),
        ("{a: 1, 'a b': 2}", {"a": 1, "a b": 2}),
        ("1: x\n'1': y", {1: "x", "1": "y"}),
        (f"a: {DIGITS}", {"a": int(DIGITS)}),
        (f"a: '{DIGITS}9'", {"a": f"{DIGITS}9"}),
        (f"a: {DIGITS}9z", {"a": f"{DIGITS}9z"}),
        (f"a: x{DIGITS}", {"a": f"x{DIGITS}"}),
        ("[" + "[], " * 70 + "]", [[]] * 70),
    ],
)
def test_what_is_accepted_has_its_usual_value(text: str, value: Any) -> None:
    assert parse(text) == value


def test_sixty_four_levels_are_accepted() -> None:
    assert str(parse("[" * 64 + "]" * 64)) == "[" * 64 + "]" * 64


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: 1\nb: *x", "line 2 has an alias (*x); write the value out"),
        ("a: 1\nb: &x [1]\nc: *x", "line 3 has an alias (*x); write the value out"),
        ("a: !foo 1", "line 1 has a tag (!foo); write plain values"),
        ("\na: !foo [1]", "line 2 has a tag (!foo); write plain values"),
        (f"a:\n- {DIGITS}9", "line 2 has a number of more than 1000 digits"),
        (f"a: -{DIGITS}", "line 1 has a number of more than 1000 digits"),
        (f"a: 0x{'F' * 1000}", "line 1 has a number of more than 1000 digits"),
        ("[" * 65 + "]" * 65, "line 1 is nested deeper than 64 levels"),
        ("a: 1\na: 2", "line 2 has the key a a second time"),
        ("a: 1\nb: 2\nc:\n  d: 1\n  d: 2", "line 5 has the key d a second time"),
        ("a: [", "is not YAML: line 2: did not find expected node content"),
        ("a: b: c", "is not YAML: line 1: mapping values are not allowed in this context"),
        ("a: 2026-13-45", "has a value that cannot be read: month must be in 1..12"),
    ],
)
def test_what_is_not_accepted_is_named_with_its_line(text: str, rule: str) -> None:
    with pytest.raises(NotAccepted) as caught:
        parse(text)
    assert str(caught.value) == rule


def test_a_character_that_yaml_does_not_have_is_reported_on_one_line() -> None:
    with pytest.raises(NotAccepted, match=r"^is not YAML: [^\n]*control characters[^\n]*$"):
        parse("a: \x07")


def test_a_key_that_is_not_a_scalar_is_an_error() -> None:
    with pytest.raises(NotAccepted, match=r"^is not YAML: line 1: found unhashable key$"):
        parse("{[a]: 1, [a]: 2}")
