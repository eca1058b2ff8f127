"""This package has the commands, one file per group."""

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
    """The queue manager's address, and the file with the token; it is the context's `obj`."""

    url: str
    token_file: Path | None = None

    def client(self) -> Client:
        """Return a client with the token. Raises GpuqFailure."""
        return Client(self.url, token=read_token(self.token_file))


def with_client(command: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the client of `--server` to the command as its first argument."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        return command(click.get_current_context().obj.client(), *args, **kwargs)

    return run
