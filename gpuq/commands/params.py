"""What several commands take: durations, a user, and jobs, which the shell completes from the server."""

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
#: Longer than that and a person would rather type the id.
COMPLETION_TIMEOUT_S = 1.0
_LONGEST_S = 100 * 366 * 86400
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def whoami() -> str | None:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (OSError, KeyError):  # a container's uid that no table knows
        return None


class Duration(click.ParamType):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        if not match:
            self.fail(f"{value!r} is no duration; write it like 90, 45m, 12h or 7d", param, ctx)
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
        """Whatever goes wrong, a TAB that finds nothing is better than a sentence in the middle of a line."""
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
    help: str = "Whose. Default: $USER.",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--user", default=whoami, help=help)


def named(user: str | None) -> str:
    """Raises UsageError where nobody is named."""
    if not user:
        raise click.UsageError("Name a user; $USER is not set.")
    return user


def job_id_of(client: Client, job: str, user: str | None) -> str:
    """The id itself, or for @latest that of the user's newest job; raises NotFound."""
    if job != LATEST:
        return job
    newest = client.jobs(1, user=named(user))["jobs"]
    if not newest:
        raise NotFound(f"{user} has no jobs on record, so there is no {LATEST}.")
    return str(newest[0]["job_id"])


def _client(ctx: click.Context) -> Client:
    """While the shell completes, no command has run yet that would have made one."""
    options = ctx.find_root().params
    token = read_token(options.get("token_file"))
    return Client(options.get("server") or DEFAULT_SERVER, COMPLETION_TIMEOUT_S, token)


def _completions(client: Client, incomplete: str, me: str | None) -> list[tuple[str, str]]:
    """Ids with their status. They begin with their user's name, so that one question is enough."""
    if me and f"{me}_".startswith(incomplete):
        jobs = client.status(me)["jobs"]
    elif "_" in incomplete:
        jobs = client.status(incomplete.partition("_")[0])["jobs"]
    elif LATEST.startswith(incomplete):
        jobs = []
    else:
        answer = client.queue(limit=500)
        jobs = [*answer["running"], *answer["jobs"]]
    return [(LATEST, "the newest one"), *((job["job_id"], job["status"]) for job in jobs)]
