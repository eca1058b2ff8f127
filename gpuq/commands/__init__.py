"""The commands, one file a group: jobs is what asks about jobs, changes what changes them, catalogue what there is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from gpuq.remote.client import Client
from gpuq.remote.token_file import read_token


@dataclass(frozen=True)
class Server:
    """Which queue manager, and where the token for it lies; the context's `obj`."""

    url: str
    token_file: Path | None = None

    def client(self) -> Client:
        return Client(self.url, token=read_token(self.token_file))


def with_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets the client of `--server` as its first argument."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        return command(click.get_current_context().obj.client(), *args, **kwargs)

    return run
