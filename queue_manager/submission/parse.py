"""This module turns the body of `POST /submit` into a job spec; it is pure.

It finds everything that is wrong at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from jobqueue.job import JobSpec
from queue_manager.http.problems import FieldError, Problem, bad_fields, unknown_names
from queue_manager.submission.config_text import INLINE_NAME
from queue_manager.submission.field_rules import RULES, Rules

#: The fields of a job spec that a submission sets; the config's text is read later.
_SPEC_FIELDS = tuple(each.name for each in JobSpec.FIELDS.all if each.name in RULES)
REQUIRED = tuple(each.name for each in JobSpec.FIELDS.all if each.required)


@dataclass(frozen=True)
class Submission:
    """A submission whose fields are right. The config's text is still to be read, or written."""

    spec: JobSpec
    inline: dict[str, Any] | None = None  #: the configuration, if the submission contains it
    dry_run: bool = False


def parse(body: Mapping[str, Any], rules: Rules) -> Submission:
    """Return the submission in `body`.

    Raises Problem 400: `Missing <field>` in the order user, config, workdir; then all bad fields.
    """
    _check_missing(body)
    broken = unknown_names(body, RULES)
    for name, rule in RULES.items():
        value = body.get(name)
        if value is not None and (found := rule.check(value, body, rules)):
            broken.append(FieldError(name, found))
    if broken:
        raise bad_fields(broken)
    return _submission(body, rules)


def _check_missing(body: Mapping[str, Any]) -> None:
    missing = [name for name in REQUIRED if _is_empty(body.get(name))]
    if missing:
        found = [FieldError(name, "is required") for name in missing]
        text = f"Missing {missing[0]}"
        raise Problem(HTTPStatus.BAD_REQUEST, text, found + unknown_names(body, RULES))


def _is_empty(value: Any) -> bool:
    return value is None or value == {} or (isinstance(value, str) and not value.strip())


def _submission(body: Mapping[str, Any], rules: Rules) -> Submission:
    """Return the submission; an optional field that is null or an empty text has its default."""
    config = body["config"]
    inline = config if isinstance(config, dict) else None
    fields: dict[str, Any] = {"workflow": rules.workflow}
    fields |= {name: body[name] for name in _SPEC_FIELDS if body.get(name) not in (None, "")}
    if inline is not None:
        fields["config"] = INLINE_NAME
    return Submission(JobSpec(**fields), inline, body.get("dry_run") or False)
