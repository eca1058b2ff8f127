"""gpuq status, queue, show, logs and history: commands that read jobs."""

import sys
import time
from typing import Any

import click

from gpuq.commands import with_client
from gpuq.commands.params import (
    Duration,
    JobId,
    require_user,
    resolve_job_id,
    user_option,
    whoami,
)
from gpuq.output import job_views
from gpuq.output.list_options import Output, list_options
from gpuq.output.listing import Listing
from gpuq.remote.client import Client
from jobqueue.clock import rfc3339
from jobqueue.phase import Phase

_MOST_HISTORY = 100_000


@click.command()
@click.argument("user", default=whoami)
@list_options
@with_client
def status(client: Client, user: str | None, output: Output) -> None:
    """Show the state of a user's jobs, and the reason (default: $USER)."""
    whose = require_user(user)
    output.show(lambda: job_views.status(client.status(whose), whose))


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    default=100,
    show_default=True,
    help="Number of queued jobs to show.",
)
@click.option("--user", "-u", help="Only this user's jobs.")
@click.option("--mine", is_flag=True, help="Only your jobs: --user $USER.")
@click.option("--start", is_flag=True, help="Expected start time of each queued job.")
@list_options
@with_client
def queue(
    client: Client, limit: int, user: str | None, mine: bool, start: bool, output: Output
) -> None:
    """Show the running jobs and the queue, the next job first."""
    if mine and user:
        raise click.UsageError("Use either --mine or --user, not both.")
    whose = require_user(whoami()) if mine else user

    def find() -> Listing:
        answer = job_views.queue_of(client.status(whose), limit) if whose else client.queue(limit)
        return job_views.queue(answer, start)

    output.show(find)


@click.command()
@click.argument("job", type=JobId())
@user_option("Whose @latest. Default: $USER.")
@list_options
@with_client
def show(client: Client, job: str, user: str | None, output: Output) -> None:
    """Show everything about a job, with its timeline."""
    job_id = resolve_job_id(client, job, user)
    output.show(lambda: job_views.record(client.job(job_id)))


@click.command()
@click.argument("job", type=JobId())
@user_option("Whose @latest. Default: $USER.")
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the job ends.")
@click.option("--tail", type=click.IntRange(0, 100_000), help="Only this many last lines.")
@with_client
def logs(client: Client, job: str, user: str | None, follow: bool, tail: int | None) -> None:
    """Print the training's log."""
    for piece in client.logs(resolve_job_id(client, job, user), tail, follow):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@click.command()
@user_option()
@click.option("--all", "everyone", is_flag=True, help="Jobs of all users (with tokens: admins).")
@click.option(
    "--since", type=Duration(), help="Only jobs submitted within, e.g., 90 (seconds), 45m, 12h, 7d."
)
@click.option(
    "--status",
    type=click.Choice([phase.value for phase in Phase]),
    help="Only jobs in this state.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, _MOST_HISTORY),
    default=100,
    show_default=True,
    help="Number of jobs to show.",
)
@list_options
@with_client
def history(
    client: Client, user: str | None, everyone: bool, limit: int, output: Output, **filters: Any
) -> None:
    """Show the jobs on record and how they ended, newest first."""
    whose = None if everyone else require_user(user)
    since_s: int | None = filters["since"]

    def find() -> Listing:
        after = None if since_s is None else rfc3339(time.time() - since_s)
        answer = client.jobs(limit, user=whose, status=filters["status"], since=after)
        return job_views.history(answer, whose)

    output.show(find)
