"""Open the queue's Redis for administrator commands; all others use the queue manager."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpuq.errors import GpuqFailure
from jobqueue.errors import GpuqError

if TYPE_CHECKING:
    from jobqueue.store.client import Store


@contextmanager
def open_store(redis_url: str) -> Iterator["Store"]:
    """Yield the store; all its errors become GpuqFailure."""
    try:
        # It needs redis, which a machine that only submits does not have.
        from jobqueue.store.client import Store
    except ImportError as error:
        raise GpuqFailure(
            "This command uses Redis and needs the package redis: run make setup in gpuq's "
            "checkout, or install gpuq's wheel with the extra queue-manager."
        ) from error
    try:
        yield Store.connect(redis_url)
    except (GpuqError, ValueError) as error:
        raise GpuqFailure(str(error)) from error
