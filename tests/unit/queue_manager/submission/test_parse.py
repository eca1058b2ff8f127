"""What a submission's body becomes, and every error in it at once."""

from dataclasses import replace
from typing import Any

import pytest

from jobqueue.job import JobSpec
from queue_manager.http.problems import FieldError, Problem
from queue_manager.submission.field_rules import Rules
from queue_manager.submission.parse import REQUIRED, Submission, parse

RULES = Rules(("proto-gcn", "other"))
BODY = {"user": "ann", "config": "a.yaml", "workdir": "/data/ann"}
SPEC = JobSpec("ann", "a.yaml", "/data/ann")


def problem(body: dict[str, Any], rules: Rules = RULES) -> Problem:
    with pytest.raises(Problem) as caught:
        parse(body, rules)
    assert caught.value.status == 400
    return caught.value


def test_the_three_required_fields_are_enough() -> None:
    assert parse(BODY, RULES) == Submission(SPEC, inline=None, dry_run=False)
    assert parse(BODY, RULES).dry_run is False
    assert parse(BODY, replace(RULES, workflow="other")).spec == replace(SPEC, workflow="other")


def test_every_field_is_taken_over() -> None:
    more = {"name": "a label", "gpus": 2, "time_limit_s": 60, "workflow": "other"}
    assert parse(BODY | more, RULES).spec == replace(SPEC, **more)  # type: ignore[arg-type]
    assert parse(BODY | {"dry_run": True}, RULES) == Submission(SPEC, dry_run=True)


@pytest.mark.parametrize("name", ["name", "gpus", "time_limit_s", "workflow", "dry_run"])
def test_an_optional_field_that_is_null_has_its_default(name: str) -> None:
    assert parse(BODY | {name: None}, RULES) == Submission(SPEC)


@pytest.mark.parametrize("name", ["name", "workflow"])
def test_so_has_an_optional_text_that_is_empty(name: str) -> None:
    assert parse(BODY | {name: ""}, RULES) == Submission(SPEC)


def test_a_configuration_inside_the_submission_is_kept() -> None:
    expected = Submission(replace(SPEC, config="config.yaml"), inline={"a": 1})
    assert parse(BODY | {"config": {"a": 1}}, RULES) == expected


@pytest.mark.parametrize("empty", [None, "", " ", {}])
def test_missing_fields_are_reported_in_order_before_anything_else(empty: object) -> None:
    assert REQUIRED == ("user", "config", "workdir")
    found = problem({"user": empty, "config": empty, "gpus": "many", "gpsu": 1})
    assert found.detail == "Missing user"
    assert found.errors == [
        *(FieldError(name, "is required") for name in REQUIRED),
        FieldError("gpsu", "unknown field", "did you mean gpus?"),
    ]
    assert problem(BODY | {"workdir": empty}).detail == "Missing workdir"


def test_a_required_field_of_the_wrong_type_is_not_missing() -> None:
    [error, _] = problem(BODY | {"user": 0}).errors
    assert error == FieldError("user", "must be a text, not 0")
    assert problem(BODY | {"config": []}).detail == "config: must be a file name or an object"


def test_every_broken_field_is_reported_unknown_ones_first() -> None:
    found = problem(BODY | {"gpus": 0, "dry_run": 1, "gpsu": 1})
    assert found.errors == [
        FieldError("gpsu", "unknown field", "did you mean gpus?"),
        FieldError("gpus", "must be a whole number from 1 to 64, not 0"),
        FieldError("dry_run", "must be true or false, not 1"),
    ]
    assert found.detail == "gpsu: unknown field (did you mean gpus?) (2 more to correct)"
