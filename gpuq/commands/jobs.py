"""gpuq status, queue, show, logs, history: what asks about jobs."""

import sys
import time

import click

from gpuq.commands import with_client
from gpuq.commands.params import Duration, JobId, job_id_of, named, user_option, whoami
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
    """Where a user's jobs stand, and why (default: $USER)."""
    whose = named(user)
    output.show(lambda: job_views.status(client.status(whose), whose))


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    default=100,
    show_default=True,
    help="Queued jobs to show.",
)
@click.option("--user", "-u", help="This user's alone.")
@click.option("--mine", is_flag=True, help="As --user $USER.")
@click.option("--start", is_flag=True, help="When those that wait are expected to start.")
@list_options
@with_client
def queue(
    client: Client, limit: int, user: str | None, mine: bool, start: bool, output: Output
) -> None:
    """What runs, and what waits, the next one first."""
    if mine and user:
        raise click.UsageError("--mine and --user exclude each other.")
    whose = named(whoami()) if mine else user

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
    """Everything about a job, with its timeline."""
    job_id = job_id_of(client, job, user)
    output.show(lambda: job_views.record(client.job(job_id)))


@click.command()
@click.argument("job", type=JobId())
@user_option("Whose @latest. Default: $USER.")
@click.option("-f", "--follow", is_flag=True, help="On and on, until the job has ended.")
@click.option("--tail", type=click.IntRange(0, 100_000), help="Only this many last lines.")
@with_client
def logs(client: Client, job: str, user: str | None, follow: bool, tail: int | None) -> None:
    """What the training has written to its log."""
    for piece in client.logs(job_id_of(client, job, user), tail, follow):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@click.command()
@user_option()
@click.option("--all", "everyone", is_flag=True, help="Everyone's (with tokens: for admins).")
@click.option("--since", type=Duration(), help="Submitted in the last 90 (seconds), 45m, 12h, 7d.")
@click.option(
    "--status",
    type=click.Choice([phase.value for phase in Phase]),
    help="Only those that are it now.",
)
@click.option("--limit", type=click.IntRange(1, _MOST_HISTORY), default=100, show_default=True)
@list_options
@with_client
def history(
    client: Client,
    user: str | None,
    everyone: bool,
    since: int | None,
    status: str | None,
    limit: int,
    output: Output,
) -> None:
    """Jobs on record with how they ended, the newest first."""
    whose = None if everyone else named(user)

    def find() -> Listing:
        after = None if since is None else rfc3339(time.time() - since)
        answer = client.jobs(limit, user=whose, status=status, since=after)
        return job_views.history(answer, whose or "anyone")

    output.show(find)
