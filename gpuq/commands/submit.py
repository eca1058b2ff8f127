"""gpuq submit."""

import json
import os
import re
from typing import Any

import click

from gpuq.client import Client
from gpuq.commands import with_client
from gpuq.config_file import read_config
from gpuq.errors import Interrupted
from gpuq.follow import Follower, follow_to_end, outcome
from gpuq.progress import Phases, View, pick_view
from gpuq.text import say

_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType):
    """Seconds, or a number with s, m, h or d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value))
        if not match:
            self.fail(f"{value!r} is no duration; write it like 90, 45m, 12h or 3d", param, ctx)
        return int(match[1]) * _UNIT_S[match[2]]


@click.command()
@click.option("--user", default=lambda: os.environ.get("USER") or os.environ.get("LOGNAME"), help="Default: $USER.")
@click.option("--config", required=True, help="A config's name on the server, or @FILE: a file of this machine.")
@click.option("--workdir", help="Where the training writes. Default: /data/<user>.")
@click.option("--name", help="A label.")
@click.option("--gpus", type=click.IntRange(min=1))
@click.option("--time-limit", type=Duration(), help="90, 45m, 12h, 3d: it is stopped after that.")
@click.option("--workflow", help="The template's name, where there is more than one.")
@click.option("--dry-run", is_flag=True, help="Check everything and print the Workflow; submit nothing.")
@click.option("--idempotency-key", help="The same key and submission give the same job again.")
@click.option("--wait", is_flag=True, help="Until the job has ended; exit code 3 where it did not succeed.")
@click.option("--follow", is_flag=True, help="As --wait, and show the training's epochs.")
@click.option("--timeout", type=Duration(), help="Wait no longer than this; exit code 124.")
@with_client
def submit(
    client: Client, dry_run: bool, idempotency_key: str | None, wait: bool, follow: bool, timeout: int | None,
    **fields: Any,
) -> None:  # fmt: skip
    """Put a training into the queue; its job id is printed on stdout."""
    answer = client.submit(_body(dry_run=dry_run, **fields), idempotency_key)
    if dry_run:
        click.echo(json.dumps(answer["workflow"], indent=2, ensure_ascii=False))
        return
    click.echo(answer["job_id"])
    say(_stands(answer))
    if wait or follow:
        _wait(client, answer["job_id"], pick_view() if follow else Phases(), timeout)


def _body(
    user: str | None, config: str, workdir: str | None, time_limit: int | None, dry_run: bool, **others: Any
) -> dict[str, Any]:
    """The submission, without what was not asked for: the server has its own defaults."""
    if not user:
        raise click.UsageError("--user is needed where $USER is not set.")
    body = {"user": user, "config": read_config(config), "workdir": workdir or f"/data/{user}", **others}
    body |= {"time_limit_s": time_limit, "dry_run": dry_run or None}
    return {name: value for name, value in body.items() if value is not None}


def _stands(answer: dict[str, Any]) -> str:
    if answer.get("position") is None:
        return f"This job is known already: {answer['status']}."
    return f"Queued at position {answer['position']}; estimated wait: {answer['estimated_wait']}."


def _wait(client: Client, job_id: str, view: View, timeout_s: float | None) -> None:
    follower = Follower(client, job_id, view)
    try:
        job = follow_to_end(follower, timeout_s)
    except KeyboardInterrupt as interrupt:
        raise Interrupted(
            f"{job_id} goes on without you: `gpuq logs -f {job_id}`, `gpuq cancel {job_id}`."
        ) from interrupt
    finally:
        view.close()
    say(outcome(job, follower.best_top1))
