"""This module stops the workers of a loader in a test."""

from collections.abc import Iterator
from contextlib import contextmanager

from proto_gcn.data.dataset import Loader


@contextmanager
def stopping(loader: Loader) -> Iterator[Loader]:
    """Stop the workers of the loader at the end, also after an error.

    The traceback of an error keeps a loader alive, and the garbage collector would stop its workers
    only after a timeout of 5 seconds each.
    """
    try:
        yield loader
    finally:
        if loader.num_workers and loader._iterator is not None:
            loader._iterator._shutdown_workers()  # type: ignore[attr-defined]
