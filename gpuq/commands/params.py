"""Parameters that several commands share: durations, users, and jobs with shell completion."""

import getpass
import os
import re
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from gpuq.errors import NotFound
from gpuq.remote.client import DEFAULT_SERVER, Client
from gpuq.remote.token_file import read_token

LATEST = "@latest"
#: After a longer wait typing the id would be faster.
COMPLETION_TIMEOUT_S = 1.0
_LONGEST_S = 100 * 366 * 86400
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def whoami() -> str | None:
    """Return $USER, else the account's name; None if there is neither."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's uid that is not in its passwd file
        return None


class Duration(click.ParamType):
    """A number of seconds, or a number with s, m, h or d; the value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the seconds; raises BadParameter."""
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        if not match:
            self.fail(f"{value!r} is not a duration; write it like 90, 45m, 12h or 7d", param, ctx)
        seconds = int(match[1]) * _UNIT_S[match[2]]
        if seconds > _LONGEST_S:
            self.fail(f"{value!r} is longer than a hundred years", param, ctx)
        return seconds


class JobId(click.ParamType):
    """A job's id, or @latest."""

    name = "job"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the matching ids; none after any error, which would disturb the command line."""
        try:
            found = _completions(_client(ctx), incomplete, whoami())
        except Exception:  # noqa: BLE001  # see above
            return []
        return [
            CompletionItem(job_id, help=status)
            for job_id, status in found
            if job_id.startswith(incomplete)
        ]


def user_option(
    help: str = "Whose jobs. Default: $USER.",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option --user."""
    return click.option("--user", default=whoami, help=help)


def require_user(user: str | None) -> str:
    """Return the user; raises UsageError if there is none."""
    if not user:
        raise click.UsageError("Name a user; $USER is not set.")
    return user


def resolve_job_id(client: Client, job: str, user: str | None) -> str:
    """Return the id itself, or for @latest the id of the user's newest job. Raises NotFound."""
    if job != LATEST:
        return job
    newest = client.jobs(1, user=require_user(user))["jobs"]
    if not newest:
        raise NotFound(f"{user} has no jobs on record, so there is no {LATEST}.")
    return str(newest[0]["job_id"])


def _client(ctx: click.Context) -> Client:
    """Make a client from the root's options: during completion no command has made one."""
    options = ctx.find_root().params
    token = read_token(options.get("token_file"))
    return Client(options.get("server") or DEFAULT_SERVER, COMPLETION_TIMEOUT_S, token)


def _completions(client: Client, incomplete: str, me: str | None) -> list[tuple[str, str]]:
    """Return ids with their status; an id begins with its user's name, so one call is enough."""
    if me and f"{me}_".startswith(incomplete):
        jobs = client.status(me)["jobs"]
    elif "_" in incomplete:
        jobs = client.status(incomplete.partition("_")[0])["jobs"]
    elif LATEST.startswith(incomplete):
        jobs = []
    else:
        answer = client.queue(limit=500)
        jobs = [*answer["running"], *answer["jobs"]]
    return [(LATEST, "the newest job"), *((job["job_id"], job["status"]) for job in jobs)]
