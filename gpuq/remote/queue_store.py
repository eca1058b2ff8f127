"""The queue's Redis, for the commands of those who run it; all others talk to the queue manager."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuq.errors import GpuqFailure
from jobqueue.errors import GpuqError

if TYPE_CHECKING:
    from jobqueue.store.client import Store


@contextmanager
def open_store(redis_url: str) -> Iterator["Store"]:
    """The store; whatever goes wrong with it is a GpuqFailure."""
    try:
        from jobqueue.store.client import (
            Store,  # needs redis, which a machine that only submits goes without
        )
    except ImportError as error:
        raise GpuqFailure(
            "This command talks to Redis: pip install 'gpuq-lab[queue-manager]'."
        ) from error
    try:
        yield Store.connect(redis_url)
    except (GpuqError, ValueError) as error:
        raise GpuqFailure(str(error)) from error
