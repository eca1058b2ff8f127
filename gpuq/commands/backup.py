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
    """Write the queued jobs with their configs, and the hashes of the tokens, to FILE as JSON.

    FILE - is stdout. Running and finished jobs are not in the file: after a loss of Redis the
    scheduler restores them from the workflows.
    """
    with open_store(redis_url) as store:
        jobs, skipped = _queued(store)
        text = encode(jobs, store.tokens(), time.time())
    _write(file, text)
    left_out = f"; {skipped} left out (no longer queued, or unreadable)" if skipped else ""
    say(f"Queued jobs in the backup: {len(jobs)}{left_out}.")


@click.command()
@click.argument("file")
@click.option(
    "--tokens",
    "with_tokens",
    is_flag=True,
    help="Restore access tokens too; a token revoked since the backup becomes valid again.",
)
@redis_url
def restore(file: str, with_tokens: bool, redis_url: str) -> None:
    """Queue the jobs of a backup again, in their order, behind the jobs queued now.

    FILE - is stdin. A job that is known already (queued, running or finished) is not changed;
    no job is ever queued twice.
    """
    text = _read(file)
    with open_store(redis_url) as store:
        found = decode(text)
        restored = [store.restore_queued(job, time.time()) for job in found.jobs]
        added = [store.restore_token(token) for token in found.tokens] if with_tokens else []
    say(f"Restored {restored.count(True)} jobs; {restored.count(False)} were known already.")
    if with_tokens:
        say(f"Restored {added.count(True)} tokens; {added.count(False)} were known already.")


def _queued(store: "Store") -> tuple[list[Job], int]:
    """Return the queued jobs in order, and how many have no readable record."""
    jobs, skipped = [], 0
    for job_id in store.order(0, _ALL):
        try:
            jobs.append(store.job(job_id))
        except (JobNotFound, CorruptEntry):
            skipped += 1
    return jobs, skipped


def _write(file: str, text: str) -> None:
    """Write the whole file or nothing, readable by its owner only: configs may be confidential."""
    if file == "-":
        click.echo(text, nl=False)
        return
    fresh = Path(f"{file}.new")
    try:
        _write_synced(fresh, text)
        fresh.rename(file)
    except OSError as error:
        raise GpuqFailure(f"{file} cannot be written ({error.strerror}).") from error


def _write_synced(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600)
    with path.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise GpuqFailure(f"{file} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise GpuqFailure(f"{file} cannot be read (it is not UTF-8).") from error
