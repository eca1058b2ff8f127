"""gpuq submit."""

import json
from typing import Any

import click

from gpuq.commands import with_client
from gpuq.commands.params import Duration, named, user_option
from gpuq.config_file import read_config
from gpuq.errors import Interrupted
from gpuq.output.progress import Phases, Silence, View, pick_view
from gpuq.output.text import say
from gpuq.remote.client import Client
from gpuq.remote.follow import Follower, follow_to_end, outcome


@click.command()
@user_option("Who submits. Default: $USER.")
@click.option(
    "-c",
    "--config",
    required=True,
    help="A config's name on the server, or @FILE: a file of this machine.",
)
@click.option("--workdir", help="Where the training writes. Default: /data/<user>.")
@click.option("--name", help="A label.")
@click.option("--gpus", type=click.IntRange(min=1))
@click.option("--time-limit", type=Duration(), help="90, 45m, 12h, 3d: it is stopped after that.")
@click.option("--workflow", help="The template's name, where there is more than one.")
@click.option(
    "--dry-run", is_flag=True, help="Check everything and print the Workflow; submit nothing."
)
@click.option("--idempotency-key", help="The same key and submission give the same job again.")
@click.option(
    "--wait", is_flag=True, help="Until the job has ended; exit code 3 where it did not succeed."
)
@click.option("--follow", is_flag=True, help="As --wait, and show the training's epochs.")
@click.option("-q", "--quiet", is_flag=True, help="The job id and nothing else, but failures.")
@click.option("--timeout", type=Duration(), help="Wait no longer than this; exit code 124.")
@with_client
def submit(
    client: Client, dry_run: bool, idempotency_key: str | None, wait: bool, follow: bool, quiet: bool,
    timeout: int | None, **fields: Any,
) -> None:  # fmt: skip
    """Put a training into the queue; its job id is printed on stdout."""
    if timeout is not None and not (wait or follow):
        raise click.UsageError("--timeout goes with --wait or --follow.")
    answer = client.submit(_body(dry_run=dry_run, **fields), idempotency_key)
    if dry_run:
        click.echo(json.dumps(answer["workflow"], indent=2, ensure_ascii=False))
        return
    click.echo(answer["job_id"])
    if not quiet:
        say(_stands(answer))
    if wait or follow:
        view: View = Silence() if quiet else pick_view() if follow else Phases()
        _wait(client, answer["job_id"], view, timeout)


def _body(
    user: str | None,
    config: str,
    workdir: str | None,
    time_limit: int | None,
    dry_run: bool,
    **others: Any,
) -> dict[str, Any]:
    """The submission, without what was not asked for: the server has its own defaults."""
    user = named(user)
    body = {
        "user": user,
        "config": read_config(config),
        "workdir": workdir or f"/data/{user}",
        **others,
    }
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
    view.note(outcome(job, follower.best_top1))
