"""gpuq admin backup and restore: the queue as a file."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuq.commands.token import redis_url
from gpuq.errors import GpuqFailure
from gpuq.output.text import say
from gpuq.remote.queue_store import open_store
from jobqueue.backup import decode, encode
from jobqueue.errors import CorruptEntry, JobNotFound
from jobqueue.job import Job

if TYPE_CHECKING:
    from jobqueue.store.client import Store

_ALL = 1_000_000


@click.command()
@click.argument("file", default="-")
@redis_url
def backup(file: str, redis_url: str) -> None:
    """Write what waits (with its configs, in order) and the hashes of the tokens to FILE, as JSON. - is stdout.

    What runs and what has ended is not in it: after a loss of Redis the scheduler restores that from the workflows.
    """
    with open_store(redis_url) as store:
        jobs, passed = _queued(store)
        text = encode(jobs, store.tokens(), time.time())
    _write(file, text)
    left_out = (
        f"; {passed} that left the queue just now, or cannot be read, are not" if passed else ""
    )
    say(f"Queued jobs in the backup: {len(jobs)}{left_out}.")


@click.command()
@click.argument("file")
@click.option(
    "--tokens",
    "with_tokens",
    is_flag=True,
    help="Put access tokens back too; one revoked since is valid again.",
)
@redis_url
def restore(file: str, with_tokens: bool, redis_url: str) -> None:
    """Queue the jobs of a backup again, in their order, behind what is queued now. - is stdin.

    A job that is known already (queued, running or finished) is left as it is; nothing is ever queued twice.
    """
    text = _read(file)
    with open_store(redis_url) as store:
        found = decode(text)
        restored = [store.restore_queued(job, time.time()) for job in found.jobs]
        put_back = [store.restore_token(token) for token in found.tokens] if with_tokens else []
    known = restored.count(False)
    say(f"Restored {restored.count(True)} jobs; {known} were known already and stay as they are.")
    if with_tokens:
        say(f"Put {put_back.count(True)} tokens back; {put_back.count(False)} were there already.")


def _queued(store: "Store") -> tuple[list[Job], int]:
    """In order, and how many of them have no record that can be read."""
    jobs, passed = [], 0
    for job_id in store.order(0, _ALL):
        try:
            jobs.append(store.job(job_id))
        except (JobNotFound, CorruptEntry):
            passed += 1
    return jobs, passed


def _write(file: str, text: str) -> None:
    """Whole or not at all, and readable by its owner alone: configs may say more than a lab wants to."""
    if file == "-":
        click.echo(text, nl=False)
        return
    fresh = Path(f"{file}.new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(0o600)
        with fresh.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.rename(file)
    except OSError as error:
        raise GpuqFailure(f"{file} cannot be written ({error.strerror}).") from error


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise GpuqFailure(f"{file} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise GpuqFailure(f"{file} cannot be read (it is not UTF-8).") from error
