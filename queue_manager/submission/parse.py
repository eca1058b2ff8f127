"""The body of POST /submit -> a job spec: a pure function that finds everything that is wrong at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from jobqueue.job import JobSpec
from jobqueue.user import broken_by_user
from queue_manager.http.problems import FieldError, Problem, bad_fields, short, unknown_names
from queue_manager.submission import text_rules
from queue_manager.submission.config_text import INLINE_NAME

REQUIRED = ("user", "config", "workdir")
OPTIONAL = ("name", "gpus", "time_limit_s", "workflow", "dry_run")

MAX_GPUS = 64
MAX_TIME_LIMIT_S = 365 * 24 * 3600
_MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class Rules:
    """What the settings say about submissions; `workflows` are the templates' names, `workflow` the usual one."""

    workflows: Sequence[str]
    workflow: str = "proto-gcn"
    require_gpu: bool = True
    workdir_anywhere: bool = False


@dataclass(frozen=True)
class Submission:
    """A submission whose fields are right; the config's text is still to be read, or to be written from `inline`."""

    spec: JobSpec
    inline: dict[str, Any] | None = None
    dry_run: bool = False


def parse(body: Mapping[str, Any], rules: Rules) -> Submission:
    """Raises Problem 400: `Missing <field>` first, in the order user, config, workdir, then all bad fields."""
    _check_missing(body)
    broken = unknown_names(body, REQUIRED + OPTIONAL)
    for name, rule in _RULES.items():
        if body.get(name) is not None and (found := rule(body[name], body, rules)):
            broken.append(FieldError(name, found))
    if broken:
        raise bad_fields(broken)
    return _submission(body, rules)


def _check_missing(body: Mapping[str, Any]) -> None:
    missing = [
        name
        for name in REQUIRED
        if body.get(name) is None or body[name] in ("", {}) or _is_blank(body[name])
    ]
    if not missing:
        return
    found = [FieldError(name, "is required") for name in missing] + unknown_names(
        body, REQUIRED + OPTIONAL
    )
    raise Problem(HTTPStatus.BAD_REQUEST, f"Missing {missing[0]}", found)


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _submission(body: Mapping[str, Any], rules: Rules) -> Submission:
    config = body["config"]
    is_inline = isinstance(config, dict)
    spec = JobSpec(
        user=body["user"],
        config=INLINE_NAME if is_inline else config,
        workdir=body["workdir"],
        name=body.get("name") or "",
        gpus=body.get("gpus") or 1,
        time_limit_s=body.get("time_limit_s"),
        workflow=body.get("workflow") or rules.workflow,
    )
    return Submission(spec, config if is_inline else None, body.get("dry_run") or False)


# -- one rule per field: (value, body, rules) -> what is broken, or None ----------------------------------------------


def _user(value: Any, _body: Mapping[str, Any], _rules: Rules) -> str | None:
    return broken_by_user(value) if isinstance(value, str) else _not_text(value)


def _config(value: Any, _body: Mapping[str, Any], _rules: Rules) -> str | None:
    if isinstance(value, dict):
        return None
    return (
        text_rules.broken_by_config_name(value)
        if isinstance(value, str)
        else "must be a file's name or an object"
    )


def _workdir(value: Any, body: Mapping[str, Any], rules: Rules) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    user = body["user"]
    if not isinstance(user, str) or broken_by_user(user):
        user = "<user>"  # whose own error stands beside this one
    return text_rules.broken_by_workdir(value, user, rules.workdir_anywhere)


def _name(value: Any, _body: Mapping[str, Any], _rules: Rules) -> str | None:
    return (
        text_rules.broken_by_text(value, _MAX_NAME_BYTES)
        if isinstance(value, str)
        else _not_text(value)
    )


def _gpus(value: Any, _body: Mapping[str, Any], rules: Rules) -> str | None:
    if not _is_count(value, MAX_GPUS):
        return f"must be a whole number from 1 to {MAX_GPUS}, not {short(value)}"
    return (
        None
        if rules.require_gpu or value == 1
        else "must be 1: this gpuq runs without GPUs (REQUIRE_GPU=false)"
    )


def _time_limit_s(value: Any, _body: Mapping[str, Any], _rules: Rules) -> str | None:
    if _is_count(value, MAX_TIME_LIMIT_S):
        return None
    return f"must be a whole number of seconds from 1 to {MAX_TIME_LIMIT_S} (a year), not {short(value)}"


def _workflow(value: Any, _body: Mapping[str, Any], rules: Rules) -> str | None:
    if not isinstance(value, str):
        return _not_text(value)
    if value in rules.workflows or value == "":
        return None
    near = get_close_matches(short(value), rules.workflows, n=1) or [
        ", ".join(rules.workflows) or "none at all"
    ]
    return f"there is no template {short(value)}; there is {near[0]}"


def _dry_run(value: Any, _body: Mapping[str, Any], _rules: Rules) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {short(value)}"


_RULES: dict[str, Callable[[Any, Mapping[str, Any], Rules], str | None]] = {
    "user": _user,
    "config": _config,
    "workdir": _workdir,
    "name": _name,
    "gpus": _gpus,
    "time_limit_s": _time_limit_s,
    "workflow": _workflow,
    "dry_run": _dry_run,
}


def _is_count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _not_text(value: Any) -> str:
    return f"must be a text, not {short(value)}"
