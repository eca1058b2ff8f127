"""The commands, one file a group: submit, jobs (what asks about jobs or changes one), admin."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from gpuq.client import Client


def with_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets the client of `--server` as its first argument."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        return command(Client(click.get_current_context().obj), *args, **kwargs)

    return run
