"""gpuq admin: commands for administrators, which use Redis directly."""

import time

import click

from gpuq.commands.backup import backup, restore
from gpuq.commands.node import node
from gpuq.commands.token import redis_url, token
from gpuq.output.text import say
from gpuq.remote.queue_store import open_store


@click.group()
def admin() -> None:
    """Administrator commands; they need access to the queue's Redis (REDIS_URL)."""


@admin.command()
@redis_url
def resume(redis_url: str) -> None:
    """Resume a halted scheduler (RESUME=manual)."""
    with open_store(redis_url) as store:
        store.request_resume(time.time())
    say("Asked the scheduler to resume; `gpuq queue` shows whether it does.")


for command in (token, node, backup, restore):
    admin.add_command(command)
