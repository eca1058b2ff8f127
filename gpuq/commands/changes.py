"""gpuq cancel and retry: what changes jobs."""

import sys

import click

from gpuq.commands import with_client
from gpuq.commands.params import JobId, job_id_of, named, user_option
from gpuq.errors import GpuqFailure
from gpuq.output.text import say
from gpuq.remote.client import Client
from jobqueue.phase import Phase

#: More than anybody may have queued.
_MOST = 100_000


@click.command()
@click.argument("jobs", nargs=-1, type=JobId(), metavar="[JOB]...")
@click.option("--all", "every", is_flag=True, help="Every job of the user that has not ended.")
@user_option("Whose, with --all and @latest. Default: $USER.")
@click.option(
    "-y", "--yes", is_flag=True, help="Ask nothing; --all needs it where nobody sits at a terminal."
)
@with_client
def cancel(client: Client, jobs: tuple[str, ...], every: bool, user: str | None, yes: bool) -> None:
    """End jobs: at once where queued, else when the training has been stopped."""
    if every == bool(jobs):
        raise click.UsageError("Name jobs, or --all for every one of a user.")
    if every:
        jobs = _all_of(client, named(user), yes)
    failures = [failure for job in jobs if (failure := _cancel(client, job, user))]
    if failures:
        raise type(failures[0])("\n".join(map(str, failures)))


@click.command()
@click.argument("job", type=JobId())
@user_option("Whose @latest. Default: $USER.")
@with_client
def retry(client: Client, job: str, user: str | None) -> None:
    """Queue a failed or cancelled job again; it resumes from its checkpoint. Its job id is printed on stdout."""
    job_id = job_id_of(client, job, user)
    answer = client.retry(job_id)
    click.echo(job_id)
    say(f"{job_id}: queued again at position {answer['position']}")


def _all_of(client: Client, user: str, yes: bool) -> tuple[str, ...]:
    """The ids, once somebody has agreed: the queued ones first, or one would start in a cancelled one's place."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("--all needs --yes where nobody can be asked.")
    phases = (Phase.QUEUED, Phase.ADMITTED, Phase.RUNNING)
    found = {phase: client.jobs(_MOST, user=user, status=phase)["jobs"] for phase in phases}
    ids = tuple(dict.fromkeys(str(job["job_id"]) for jobs in found.values() for job in jobs))
    if not ids:
        say(f"{user} has nothing to cancel.")
    elif not yes and not click.confirm(
        _question(user, len(ids), len(found[Phase.QUEUED])), err=True
    ):
        raise GpuqFailure("Nothing was cancelled.")
    return ids


def _question(user: str, count: int, queued: int) -> str:
    jobs = "1 job" if count == 1 else f"{count} jobs"
    return f"Cancel {jobs} of {user} ({queued} queued, {count - queued} running)?"


def _cancel(client: Client, job: str, user: str | None) -> GpuqFailure | None:
    """Why that one could not be cancelled: the others are all the same."""
    try:
        job_id = job_id_of(client, job, user)
        answer = client.cancel(job_id)
    except GpuqFailure as failure:
        return failure
    say(f"{job_id}: {'is being stopped' if answer['cancelling'] else answer['status']}")
    return None
