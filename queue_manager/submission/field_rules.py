"""This module holds one rule per field of `POST /submit`: a check, and the same as JSON Schema.

A check takes the value, the whole body and the settings' rules, and returns what is wrong in
words that follow the field's name, or None. Every function here is pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from jobqueue.codec.fields import TEXT, Schema
from jobqueue.user import USER_PATTERN, broken_by_user
from queue_manager.http.problems import short
from queue_manager.submission import text_rules

MAX_GPUS = 64
MAX_TIME_LIMIT_S = 365 * 24 * 3600
_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class Rules:
    """What the settings allow; `workflows` are all template names, `workflow` is the default."""

    workflows: Sequence[str]
    workflow: str = "proto-gcn"
    require_gpu: bool = True
    workdir_anywhere: bool = False


Body = Mapping[str, Any]


@dataclass(frozen=True)
class FieldRule:
    """The rule of one field; an optional field may also be null, which `schema` omits."""

    check: Callable[[Any, Body, Rules], str | None]
    schema: Schema


def _user(value: Any, _body: Body, _rules: Rules) -> str | None:
    return broken_by_user(value) if isinstance(value, str) else _not_text(value)


def _config(value: Any, _body: Body, _rules: Rules) -> str | None:
    if isinstance(value, dict):
        return None
    if not isinstance(value, str):
        return "must be a file name or an object"
    return text_rules.broken_by_config_name(value)


def _workdir(value: Any, body: Body, rules: Rules) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    user = body["user"]
    if not isinstance(user, str) or broken_by_user(user):
        user = "<user>"  # the wrong user has an error of its own
    return text_rules.broken_by_workdir(value, user, rules.workdir_anywhere)


def _name(value: Any, _body: Body, _rules: Rules) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    return text_rules.broken_by_text(value, _MAX_NAME_BYTES)


def _gpus(value: Any, _body: Body, rules: Rules) -> str | None:
    if not _is_count(value, MAX_GPUS):
        return f"must be a whole number from 1 to {MAX_GPUS}, not {short(value)}"
    if rules.require_gpu or value == 1:
        return None
    return "must be 1: this gpuq runs without GPUs (REQUIRE_GPU=false)"


def _time_limit_s(value: Any, _body: Body, _rules: Rules) -> str | None:
    if _is_count(value, MAX_TIME_LIMIT_S):
        return None
    most = f"{MAX_TIME_LIMIT_S} (a year)"
    return f"must be a whole number of seconds from 1 to {most}, not {short(value)}"


def _workflow(value: Any, _body: Body, rules: Rules) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    if value in rules.workflows or value == "":
        return None
    near = get_close_matches(short(value), rules.workflows, n=1)
    known = near[0] if near else ", ".join(rules.workflows) or "no template at all"
    return f"there is no template {short(value)}; there is {known}"


def _dry_run(value: Any, _body: Body, _rules: Rules) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {short(value)}"


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _not_text(value: Any) -> str:
    return f"must be a text, not {short(value)}"


USER: Schema = {**TEXT, "pattern": f"^{USER_PATTERN.pattern}$", "examples": ["user1"]}
_CONFIG: Schema = {
    "anyOf": [TEXT, {"type": "object"}],
    "description": "a file's name below the config folder, or the configuration itself",
    "examples": ["config.yaml"],
}
_WORKDIR: Schema = {
    **TEXT,
    "description": "/data/<user> or a folder below it",
    "examples": ["/data/user1"],
}
_TEMPLATE: Schema = {**TEXT, "description": "a template's name; GET /workflows lists them"}


def _count_up_to(most: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most}


#: The fields of a submission, in the order in which their errors are reported.
RULES: dict[str, FieldRule] = {
    "user": FieldRule(_user, USER),
    "config": FieldRule(_config, _CONFIG),
    "workdir": FieldRule(_workdir, _WORKDIR),
    "name": FieldRule(_name, {**TEXT, "description": "a label for people"}),
    "gpus": FieldRule(_gpus, {**_count_up_to(MAX_GPUS), "default": 1}),
    "time_limit_s": FieldRule(_time_limit_s, _count_up_to(MAX_TIME_LIMIT_S)),
    "workflow": FieldRule(_workflow, _TEMPLATE),
    "dry_run": FieldRule(_dry_run, {"type": "boolean", "default": False}),
}
