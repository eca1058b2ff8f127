"""This module holds the connection to Redis: clients, error translation, Lua scripts.

Only this file and `redis_errors.py` import `redis`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobqueue.phase import TRANSITIONS
from jobqueue.store.redis_errors import translate

#: A blocking read waits at most this long (seconds).
MAX_BLOCK_S = 30.0


class Connection:
    """Every call through this connection to one Redis raises an error of `jobqueue.errors`."""

    def __init__(self, client: Any, blocking_client: Any = None) -> None:
        self._redis = client
        self._blocking = blocking_client or client
        self._scripts: dict[str, Any] = {}

    @classmethod
    def connect(cls, url: str, timeout_s: float = 1.5) -> Self:
        """Return a connection to `url`, which is opened at the first call.

        Every call answers within about `timeout_s` or raises. The retries of redis-py are off:
        they would repeat commands that are not idempotent.
        """

        def client(**options: Any) -> Any:
            return redis.Redis.from_url(
                url,
                decode_responses=True,
                encoding_errors="surrogateescape",
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=timeout_s,
                **options,
            )

        # Blocking reads have a client whose socket timeout is longer than any block.
        return cls(client(socket_timeout=timeout_s), client(socket_timeout=MAX_BLOCK_S + 5))

    def run(self, script: str, *args: Any) -> Any:
        """Run `scripts/<script>.lua` and return its answer."""
        with self._translated():
            if script not in self._scripts:
                self._scripts[script] = self._redis.register_script(_source(script))
            return self._scripts[script](args=args)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise translate(error) from error

    def _config(self, name: str) -> str | None:
        """Return a setting of the server; None if it refuses CONFIG, as a managed Redis may."""
        try:
            return self._redis.config_get(name).get(name)
        except redis.ResponseError:
            return None
        except redis.RedisError as error:
            raise translate(error) from error


@cache
def _source(script: str) -> str:
    """Return the text of a script, after the table of transitions and the common functions."""
    folder = resources.files("jobqueue.store") / "scripts"
    rows = ", ".join(
        f"{phase.value} = {{{', '.join(f'{to.value} = true' for to in sorted(targets))}}}"
        for phase, targets in TRANSITIONS.items()
    )
    lib = (folder / "lib.lua").read_text(encoding="utf-8")
    text = (folder / f"{script}.lua").read_text(encoding="utf-8")
    return f"local TRANSITIONS = {{{rows}}}\n{lib}\n{text}"
