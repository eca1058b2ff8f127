"""gpuq admin: what an admin asks of the scheduler, by way of Redis."""

import time

import click

from gpuq.errors import GpuqFailure
from jobqueue.errors import GpuqError


@click.group()
def admin() -> None:
    """For the people who run the queue; talks to Redis itself (REDIS_URL)."""


@admin.command()
@click.option(
    "--redis-url", envvar="REDIS_URL", default="redis://127.0.0.1:6379/0", show_default=True, show_envvar=True
)
def resume(redis_url: str) -> None:
    """Let a halted scheduler (RESUME=manual) go on."""
    try:
        from jobqueue.store import Store  # needs redis, which a machine that only submits goes without
    except ImportError as error:
        raise GpuqFailure("This command talks to Redis: pip install 'gpuq[queue-manager]'.") from error
    try:
        Store.connect(redis_url).request_resume(time.time())
    except (GpuqError, ValueError) as error:
        raise GpuqFailure(str(error)) from error
    click.echo("Asked the scheduler to resume; `gpuq queue` shows whether it does.", err=True)
