"""gpuq submit."""

import json
from typing import Any

import click

from gpuq.commands import with_client
from gpuq.commands.params import Duration, require_user, user_option
from gpuq.config_file import read_config
from gpuq.errors import Interrupted
from gpuq.output.progress import PhaseView, SilentView, View, pick_view
from gpuq.output.text import say
from gpuq.remote.client import Client
from gpuq.remote.follow import Follower, follow_to_end, outcome


@click.command()
@user_option("Who submits. Default: $USER.")
@click.option(
    "-c",
    "--config",
    required=True,
    help="Name of a config on the server, or @FILE for a file on this machine.",
)
@click.option("--workdir", help="Where the training writes. Default: /data/<user>.")
@click.option("--name", help="A label for people.")
@click.option(
    "--gpus", type=click.IntRange(min=1), help="Number of GPUs, all on one node. Default: 1."
)
@click.option(
    "--time-limit", type=Duration(), help="Stop the training after 90 (seconds), 45m, 12h, 3d."
)
@click.option("--workflow", help="Name of the template, if there are several.")
@click.option(
    "--dry-run", is_flag=True, help="Check everything and print the Workflow; submit nothing."
)
@click.option("--idempotency-key", help="The same key and submission return the same job.")
@click.option(
    "--wait", is_flag=True, help="Wait until the job has ended; exit code 3 if it did not succeed."
)
@click.option("--follow", is_flag=True, help="Like --wait, and show the training's epochs.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the job id (errors go to stderr).")
@click.option("--timeout", type=Duration(), help="Wait no longer than this; exit code 124.")
@with_client
def submit(
    client: Client, wait: bool, follow: bool, quiet: bool, timeout: int | None, **fields: Any
) -> None:
    """Submit a training to the queue; its job id is printed on stdout."""
    if timeout is not None and not (wait or follow):
        raise click.UsageError("--timeout needs --wait or --follow.")
    key = fields.pop("idempotency_key")
    answer = client.submit(_body(**fields), key)
    if fields["dry_run"]:
        click.echo(json.dumps(answer["workflow"], indent=2, ensure_ascii=False))
        return
    click.echo(answer["job_id"])
    if not quiet:
        say(_acknowledgement(answer))
    if wait or follow:
        view: View = SilentView() if quiet else pick_view() if follow else PhaseView()
        _wait(client, answer["job_id"], view, timeout)


def _body(
    user: str | None,
    config: str,
    workdir: str | None,
    time_limit: int | None,
    dry_run: bool,
    **others: Any,
) -> dict[str, Any]:
    """Return the submission without the options that were not given: the server has defaults."""
    user = require_user(user)
    body = {
        "user": user,
        "config": read_config(config),
        "workdir": workdir or f"/data/{user}",
        **others,
    }
    body |= {"time_limit_s": time_limit, "dry_run": dry_run or None}
    return {name: value for name, value in body.items() if value is not None}


def _acknowledgement(answer: dict[str, Any]) -> str:
    position = answer.get("position")
    if position is None:
        return f"This job was submitted before; it is {answer['status']}."
    where = "Queued, next in line" if position == 1 else f"Queued at position {position}"
    return f"{where}; estimated wait: {answer['estimated_wait']}."


def _wait(client: Client, job_id: str, view: View, timeout_s: float | None) -> None:
    follower = Follower(client, job_id, view)
    try:
        job = follow_to_end(follower, timeout_s)
    except KeyboardInterrupt as interrupt:
        raise Interrupted(
            f"{job_id} continues without you: `gpuq logs -f {job_id}`, `gpuq cancel {job_id}`."
        ) from interrupt
    finally:
        view.close()
    view.note(outcome(job, follower.best_top1))
