"""gpuq cancel and retry: commands that change jobs."""

import sys
from typing import Any

import click

from gpuq.commands import with_client
from gpuq.commands.params import JobId, require_user, resolve_job_id, user_option
from gpuq.errors import GpuqFailure
from gpuq.output.text import say
from gpuq.remote.client import Client
from jobqueue.phase import Phase

#: More than anybody may have queued.
_MOST = 100_000


@click.command()
@click.argument("jobs", nargs=-1, type=JobId(), metavar="[JOB]...")
@click.option("--all", "every", is_flag=True, help="All of the user's jobs that have not ended.")
@user_option("Whose jobs, with --all and @latest. Default: $USER.")
@click.option(
    "-y", "--yes", is_flag=True, help="Do not ask; --all needs this if stdin is not a terminal."
)
@with_client
def cancel(client: Client, jobs: tuple[str, ...], every: bool, user: str | None, yes: bool) -> None:
    """Cancel jobs. A running training first gets time to save a checkpoint."""
    if every == bool(jobs):
        raise click.UsageError("Name the jobs to cancel, or use --all for all of a user's jobs.")
    if every:
        jobs = _all_of(client, require_user(user), yes)
    failures = [failure for job in jobs if (failure := _cancel(client, job, user))]
    if failures:
        raise type(failures[0])("\n".join(map(str, failures)))


@click.command()
@click.argument("job", type=JobId())
@user_option("Whose @latest. Default: $USER.")
@with_client
def retry(client: Client, job: str, user: str | None) -> None:
    """Queue a failed or cancelled job again; it resumes from its checkpoint.

    The job id is printed on stdout.
    """
    job_id = resolve_job_id(client, job, user)
    answer = client.retry(job_id)
    click.echo(job_id)
    say(f"{job_id}: queued again at position {answer['position']}")


def _all_of(client: Client, user: str, yes: bool) -> tuple[str, ...]:
    """Return the ids of the user's jobs, after a confirmation.

    The queued ones come first; otherwise one of them would start in place of a cancelled one.
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("--all needs --yes if stdin is not a terminal.")
    phases = (Phase.QUEUED, Phase.ADMITTED, Phase.RUNNING)
    found = {phase: client.jobs(_MOST, user=user, status=phase)["jobs"] for phase in phases}
    ids = tuple(dict.fromkeys(str(job["job_id"]) for jobs in found.values() for job in jobs))
    if not ids:
        say(f"{user} has no jobs to cancel.")
    elif not yes:
        question = _question(user, len(ids), len(found[Phase.QUEUED]))
        if not click.confirm(question, err=True):
            raise GpuqFailure("Nothing was cancelled.")
    return ids


def _question(user: str, count: int, queued: int) -> str:
    jobs = "1 job" if count == 1 else f"{count} jobs"
    return f"Cancel {jobs} of {user} ({queued} queued, {count - queued} running)?"


def _cancel(client: Client, job: str, user: str | None) -> GpuqFailure | None:
    """Cancel one job; returns the failure, so that the other jobs are cancelled anyway."""
    try:
        job_id = resolve_job_id(client, job, user)
        answer = client.cancel(job_id)
    except GpuqFailure as failure:
        return failure
    say(f"{job_id}: {_effect(answer)}")
    return None


def _effect(answer: dict[str, Any]) -> str:
    if answer["cancelling"]:
        return "stopping; a running training gets time to save a checkpoint"
    if answer["status"] == Phase.CANCELLED:
        return "cancelled"
    return f"had already ended ({answer['status']}); nothing changed"
