"""What a template's JSON Schema says about a configuration, in words."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from queue_manager.http.problems import FieldError
from queue_manager.submission.config_check import BrokenSchema, Schema, broken_keys

LEARNING = {"type": "object", "properties": {"lr": {"type": "number", "maximum": 1}}}
SCHEMA = {
    "type": "object",
    "required": ["data", "seed"],
    "additionalProperties": False,
    "properties": {
        "data": {"type": "string", "maxLength": 4},
        "seed": {"type": "integer"},
        "optimizer": {**LEARNING, "additionalProperties": False},
        "steps": {"type": "array", "items": {"type": "integer"}},
        "base": {"anyOf": [{"type": "null"}, {"type": "object", "required": ["name"]}]},
        "extra": {},
    },
}
GOOD = "{data: a, seed: 1}"


def rules(text: str, schema: object = SCHEMA) -> list[FieldError]:
    return list(broken_keys(text, "a.yaml", Schema(json.dumps(schema))))


def error(rule: str, hint: str = "") -> FieldError:
    return FieldError("config", f"a.yaml: {rule}", hint)


def test_a_good_configuration_breaks_no_rule() -> None:
    assert rules(GOOD) == []


def test_without_a_schema_only_yaml_is_checked() -> None:
    assert broken_keys("- anything", "a.yaml", None) == ()
    expected = (error("line 2 has the key a a second time"),)
    assert broken_keys("a: 1\na: 2", "a.yaml", None) == expected


KNOWN = "known here are base, data, extra, optimizer, seed, steps"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", [error("data is missing", "add it"), error("seed is missing", "add it")]),
        ("{data: a}", [error("seed is missing", "add it")]),
        (
            "{data: a, seed: 1, sed: 2}",
            [error("unknown key sed", "did you mean seed?")],
        ),
        ("{data: a, seed: 1, xyz: 2}", [error("unknown key xyz", KNOWN)]),
        ("{data: a, seed: 1, XYZ: 2}", [error("unknown key XYZ", KNOWN)]),
        (
            "{data: a, sed: 1}",
            [error("unknown key sed", "did you mean seed?"), error("seed is missing", "add it")],
        ),
        (
            "{data: a, seed: 1, optimizer: {lrr: 1}}",
            [error("unknown key optimizer.lrr", "did you mean lr?")],
        ),
        ("[a]", [error("['a'] is not of type 'object'")]),
        (
            "{data: a, seed: 1, optimizer: {lr: 2}}",
            [error("optimizer.lr: 2 is greater than the maximum of 1")],
        ),
        (
            "{data: a, seed: 1, optimizer: {lr: 5e-4}}",
            [
                error(
                    "optimizer.lr: '5e-4' is not of type 'number'",
                    "write the number with a decimal point, like 5.0e-4",
                )
            ],
        ),
        (
            "{data: a, seed: 1, optimizer: {lr: x5e-4}}",
            [error("optimizer.lr: 'x5e-4' is not of type 'number'")],
        ),
        ("{data: a, seed: 1, steps: [1, x]}", [error("steps[1]: 'x' is not of type 'integer'")]),
        ("{data: a, seed: 1, base: {}}", [error("base.name is missing", "add it")]),
    ],
)
def test_each_broken_rule_is_a_sentence_about_its_key(
    text: str, expected: list[FieldError]
) -> None:
    assert rules(text) == expected


def test_a_list_at_the_top_is_named_by_its_numbers() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    assert rules("[x]", schema) == [error("[0]: 'x' is not of type 'integer'")]


@pytest.mark.parametrize(("length", "is_quoted"), [(150, True), (300, False)])
def test_a_long_value_is_not_repeated_in_full(length: int, is_quoted: bool) -> None:
    [found] = rules(f"{{data: {'x' * length}, seed: 1}}")
    short = f"a.yaml: data: {'x' * 80}… breaks maxLength"
    assert (found.rule == f"a.yaml: data: '{'x' * length}' is too long") is is_quoted
    assert (found.rule == short) is not is_quoted


def test_a_message_of_200_characters_is_shown_in_full() -> None:
    rest = len("'' is too long")
    [full] = rules(f"{{data: {'x' * (200 - rest)}, seed: 1}}")
    [cut] = rules(f"{{data: {'x' * (201 - rest)}, seed: 1}}")
    assert full.rule.endswith("is too long")
    assert cut.rule.endswith("breaks maxLength")


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_numbers_must_be_finite_wherever_they_are(value: str) -> None:
    word = {".nan": "nan", ".inf": "inf", "-.inf": "-inf"}[value]
    text = f"{{data: a, seed: 1, extra: {{b: [1.5, 2, {value}], c: {value}}}}}"
    assert rules(text) == [
        error(f"extra.b[2] must be a finite number, not {word}"),
        error(f"extra.c must be a finite number, not {word}"),
    ]


def test_the_first_ten_errors_are_named() -> None:
    unknown = ", ".join(f"zzz{number}: 1" for number in range(20))
    assert len(rules(f"{{data: a, seed: 1, {unknown}}}")) == 10
    broken = ", ".join(["x"] * 150)
    found = rules(f"{{data: a, seed: 1, steps: [{broken}], zzz: 1}}")
    assert len(found) == 10
    assert found[0] == error("unknown key zzz", KNOWN)


def test_a_number_may_have_a_capital_exponent() -> None:
    [found] = rules("{data: a, seed: 1, optimizer: {lr: 5E-4}}")
    assert found.hint == "write the number with a decimal point, like 5.0e-4"


@pytest.mark.parametrize(("wrong", "is_read"), [(99, True), (100, False)])
def test_a_hundred_errors_are_read(wrong: int, is_read: bool) -> None:
    items = {"type": "array", "items": {"type": "integer"}}
    schema = {"properties": {"steps": items}, "additionalProperties": False}
    found = rules(f"{{steps: [{', '.join(['x'] * wrong)}], zzz: 1}}", schema)
    assert (found[0] == error("unknown key zzz", "known here are steps")) is is_read


def test_a_schema_without_properties_knows_no_key() -> None:
    [found] = rules("{a: 1}", {"additionalProperties": False})
    assert found.rule == "a.yaml: unknown key a"


def test_no_schema_is_downloaded() -> None:
    with patch("urllib.request.urlopen") as download, pytest.raises(BrokenSchema):
        rules(GOOD, {"$ref": "http://127.0.0.1:9/schema.json"})
    assert not download.called


@pytest.mark.parametrize(
    "text", ["{", "3", '{"type": "no such type"}', '{"$ref": "#"}', '{"$ref": "http://a/b"}']
)
def test_a_schema_that_cannot_be_used_is_the_admins_to_fix(text: str) -> None:
    with pytest.raises(BrokenSchema) as caught:
        broken_keys(GOOD, "a.yaml", Schema(text))
    message = str(caught.value)
    assert message.startswith("The template's schema is broken (")
    assert message.endswith("); an admin must fix it.")
    assert "(None)" not in message


class TestOfTemplate:
    def test_it_is_the_file_beside_the_template(self, tmp_path: Path) -> None:
        (tmp_path / "t.schema.json").write_text('{"title": "größer"}', encoding="utf-8")
        assert Schema.of_template(tmp_path, "t") == Schema('{"title": "größer"}')

    def test_a_template_may_have_none(self, tmp_path: Path) -> None:
        assert Schema.of_template(tmp_path, "t") is None

    @pytest.mark.parametrize("content", [None, b"\xff"])
    def test_one_that_cannot_be_read_is_broken(self, tmp_path: Path, content: Any) -> None:
        path = tmp_path / "t.schema.json"
        path.mkdir() if content is None else path.write_bytes(content)
        with pytest.raises(BrokenSchema, match=f"^{path} cannot be read: "):
            Schema.of_template(tmp_path, "t")
