"""One rule per field of a submission: what it accepts, and what is wrong with the rest."""

from dataclasses import replace
from typing import Any

import pytest

from jobqueue.user import USER_PATTERN
from queue_manager.submission.field_rules import MAX_GPUS, MAX_TIME_LIMIT_S, RULES, Rules

SETTINGS = Rules(("proto-gcn", "other"))
YEAR = 31_536_000


def broken(field: str, value: Any, rules: Rules = SETTINGS, user: Any = "ann") -> str | None:
    return RULES[field].check(value, {"user": user}, rules)


def test_the_settings_have_defaults() -> None:
    assert Rules(()) == Rules((), workflow="proto-gcn", require_gpu=True, workdir_anywhere=False)
    assert (MAX_GPUS, MAX_TIME_LIMIT_S) == (64, YEAR)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "ann"),
        ("config", "a.yaml"),
        ("config", {"a": 1}),
        ("workdir", "/data/ann"),
        ("name", "a label"),
        ("name", "x" * 200),
        ("gpus", 1),
        ("gpus", 64),
        ("time_limit_s", 1),
        ("time_limit_s", YEAR),
        ("workflow", "other"),
        ("workflow", ""),
        ("dry_run", False),
        ("dry_run", True),
    ],
)
def test_what_is_right_breaks_no_rule(field: str, value: object) -> None:
    assert broken(field, value) is None


COUNT = "must be a whole number from 1 to 64, not"
SECONDS = "must be a whole number of seconds from 1 to 31536000 (a year), not"


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("user", 3, "must be a text, not 3"),
        ("config", 3, "must be a file name or an object"),
        ("config", "../a.yaml", "must not have .. in it"),
        ("workdir", 3, "must be a text, not 3"),
        ("workdir", "/data/bob", "must be /data/ann or a folder below it"),
        ("name", 3, "must be a text, not 3"),
        ("name", "x" * 201, "must not be longer than 200 bytes"),
        ("gpus", 0, f"{COUNT} 0"),
        ("gpus", 65, f"{COUNT} 65"),
        ("gpus", True, f"{COUNT} True"),
        ("gpus", 1.0, f"{COUNT} 1.0"),
        ("gpus", "2", f"{COUNT} 2"),
        ("time_limit_s", 0, f"{SECONDS} 0"),
        ("time_limit_s", YEAR + 1, f"{SECONDS} 31536001"),
        ("workflow", 3, "must be a text, not 3"),
        ("workflow", "proto-gnc", "there is no template proto-gnc; there is proto-gcn"),
        ("workflow", "xyz", "there is no template xyz; there is proto-gcn, other"),
        ("dry_run", 1, "must be true or false, not 1"),
    ],
)
def test_what_is_wrong_is_named_with_the_rule(field: str, value: object, rule: str) -> None:
    assert broken(field, value) == rule


def test_a_user_that_is_wrong_is_not_quoted_in_the_rule_of_the_workdir() -> None:
    rule = "must be /data/<user> or a folder below it"
    assert broken("workdir", "/data/bob", user=3) == rule
    assert broken("workdir", "/data/bob", user="A b") == rule


def test_with_workdir_anywhere_a_workdir_may_be_anyones() -> None:
    anywhere = replace(SETTINGS, workdir_anywhere=True)
    assert broken("workdir", "/data/bob", anywhere) is None
    assert broken("workdir", "/data/datasets", anywhere) is not None


def test_without_gpus_only_one_slot_can_be_asked_for() -> None:
    laptop = replace(SETTINGS, require_gpu=False)
    rule = "must be 1: this gpuq runs without GPUs (REQUIRE_GPU=false)"
    assert broken("gpus", 1, laptop) is None
    assert broken("gpus", 2, laptop) == rule
    assert broken("gpus", 65, laptop) == f"{COUNT} 65"


def test_a_template_is_named_even_if_there_is_none() -> None:
    rule = "there is no template x; there is no template at all"
    assert broken("workflow", "x", Rules(())) == rule


def test_the_schemas_state_the_same_rules() -> None:
    schemas = {name: rule.schema for name, rule in RULES.items()}
    counts = {name: schemas[name] for name in ("gpus", "time_limit_s", "dry_run")}
    assert counts == {
        "gpus": {"type": "integer", "minimum": 1, "maximum": 64, "default": 1},
        "time_limit_s": {"type": "integer", "minimum": 1, "maximum": YEAR},
        "dry_run": {"type": "boolean", "default": False},
    }
    texts = ("user", "workdir", "name", "workflow")
    assert [schemas[name]["type"] for name in texts] == ["string"] * 4
    assert schemas["user"]["pattern"] == f"^{USER_PATTERN.pattern}$"
    assert schemas["config"]["anyOf"] == [{"type": "string"}, {"type": "object"}]


@pytest.mark.parametrize("field", ["user", "config", "workdir"])
def test_the_examples_in_the_schemas_break_no_rule(field: str) -> None:
    [example] = RULES[field].schema["examples"]
    assert broken(field, example, user="user1") is None


def test_the_schemas_describe_the_fields_whose_names_do_not() -> None:
    described = {name for name, rule in RULES.items() if rule.schema.get("description")}
    assert described == {"config", "workdir", "name", "workflow"}
