"""gpuq status, queue, show, logs, cancel, retry."""

import os
import sys
from typing import Any

import click

from gpuq.client import Client
from gpuq.commands import with_client
from gpuq.errors import GpuqFailure
from gpuq.text import say, table

_JOB_HEADS = ("JOB", "STATUS", "POSITION", "WAIT", "REASON")
_SHOWN_FIRST = ("job_id", "status", "reason", "position", "estimated_wait", "estimated_end_at")
_SHOWN_APART = {"timeline", "log_tail", "links", "result"}


@click.command()
@click.argument("user", default=lambda: os.environ.get("USER") or os.environ.get("LOGNAME") or "")
@with_client
def status(client: Client, user: str) -> None:
    """Where a user's jobs stand, and why (default: $USER)."""
    if not user:
        raise click.UsageError("Name a user; $USER is not set.")
    jobs = client.status(user)["jobs"]
    if jobs:
        click.echo(table(_JOB_HEADS, [_row(job) for job in jobs]))
    else:
        say(f"{user} has no jobs.")


@click.command()
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True, help="Queued jobs to show.")
@with_client
def queue(client: Client, limit: int) -> None:
    """What runs, and what waits, the next one first."""
    answer = client.queue(limit)
    jobs = [*answer["running"], *answer["jobs"]]
    if jobs:
        heads = ("JOB", "USER", *_JOB_HEADS[1:])
        click.echo(table(heads, [(job["job_id"], job["user"], *_row(job)[1:]) for job in jobs]))
    more = answer["length"] - len(answer["jobs"])
    say(f"{len(answer['running'])} running, {answer['length']} queued" + (f" ({more} not shown)" if more > 0 else ""))


@click.command()
@click.argument("job")
@with_client
def show(client: Client, job: str) -> None:
    """Everything about a job, with its timeline."""
    record = client.job(job)
    names = [*_SHOWN_FIRST, *(name for name in record if name not in {*_SHOWN_FIRST, *_SHOWN_APART})]
    facts = [(name, _words(record.get(name))) for name in names]
    facts += [(f"result.{name}", path) for name, path in (record.get("result") or {}).items()]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        if value:
            click.echo(f"{name:{width}}  {value}")
    for line in record.get("log_tail", ()):
        click.echo(f"{'log':{width}}  {line}")
    for step in record.get("timeline", ()):
        click.echo(f"{'timeline':{width}}  {_transition(step)}")


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="On and on, until the job has ended.")
@click.option("--tail", type=click.IntRange(0, 100_000), help="Only this many last lines.")
@with_client
def logs(client: Client, job: str, follow: bool, tail: int | None) -> None:
    """What the training has written to its log."""
    for piece in client.logs(job, tail, follow):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@with_client
def cancel(client: Client, jobs: tuple[str, ...]) -> None:
    """End jobs: at once where queued, else when the training has been stopped."""
    failures = [failure for job in jobs if (failure := _cancel(client, job))]
    if failures:
        raise type(failures[0])("\n".join(map(str, failures)))


@click.command()
@click.argument("job")
@with_client
def retry(client: Client, job: str) -> None:
    """Queue a failed or cancelled job again; it resumes from its checkpoint."""
    answer = client.retry(job)
    say(f"{job}: queued again at position {answer['position']}")


def _cancel(client: Client, job: str) -> GpuqFailure | None:
    """Why that one could not be cancelled: the others are all the same."""
    try:
        answer = client.cancel(job)
    except GpuqFailure as failure:
        return failure
    say(f"{job}: {'is being stopped' if answer['cancelling'] else answer['status']}")
    return None


def _row(job: dict[str, Any]) -> tuple[Any, ...]:
    return job["job_id"], job["status"], job["position"], job["estimated_wait"], job["reason"]["message"]


def _words(value: Any) -> str:
    if isinstance(value, dict):  # a reason
        return f"{value.get('message')} [{value.get('code')}]"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _transition(step: dict[str, Any]) -> str:
    return f"{step['at']}  {step['from'] or '-'} -> {step['to']}  {step['message']}"
