"""This proxy stands before the API server (TLS) or Redis (plain TCP) and can fail like a network.

A test says `proxy.fails(Fault.DROP, r"^POST .*/workflows$")`: the next request that matches is
forwarded, takes effect, and its answer never arrives. For the API server the expression is matched
against `METHOD /path?query`, for Redis against the bytes of what the client sends. What is common
to both is here: proxy_api.py, proxy_redis.py.
"""

import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

CHUNK = 65536
_LINGER_0 = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # close() sends RST


class Fault(StrEnum):
    RESET = "reset"  #: not forwarded, connection reset
    RESET_AFTER = "reset after"  #: forwarded, took effect, connection reset instead of the answer
    DROP = "drop"  #: forwarded, took effect, no answer ever
    HALF_OPEN = "half-open"  #: not forwarded, no answer ever
    DELAY = "delay"  #: forwarded after `seconds`
    ANSWER = "answer"  #: not forwarded, answered with `status` (API server only)
    ANSWER_AFTER = (
        "answer after"  #: forwarded, took effect, answered with `status` (API server only)
    )
    TRUNCATE = "truncate"  #: forwarded, and half of the answer comes back


@dataclass
class Rule:
    fault: Fault
    matches: re.Pattern[str]
    times: int
    seconds: float
    status: int
    retry_after_s: int | None
    hits: int = 0


class Proxy:
    """The proxy accepts connections on a free port, in a thread each; `close` ends them all."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.accept()

    # -- what a test says --------------------------------------------------------------------------

    def fails(
        self,
        fault: Fault,
        matches: str = "",
        times: int = 1,
        *,
        seconds: float = 0,
        status: int = 500,
        retry_after_s: int | None = None,
    ) -> Rule:
        """Apply a fault to the next `times` matching requests; the returned rule counts `hits`."""
        rule = Rule(fault, re.compile(matches), times, seconds, status, retry_after_s)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heals(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def refuse(self) -> None:
        """Stop listening, and reset the open connections."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            _abort(connection)

    def accept(self) -> None:
        """Listen (again), on the same port."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="proxy", daemon=True).start()

    def close(self) -> None:
        self._stopping.set()
        self.refuse()

    # -- for the two kinds -------------------------------------------------------------------------

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _take(self, what: str) -> Rule | None:
        """Return the first rule that matches and has uses left."""
        with self._lock:
            for rule in self._rules:
                if rule.hits < rule.times and rule.matches.search(what):
                    rule.hits += 1
                    return rule
        return None

    def _hold(self, client: socket.socket) -> None:
        """Send nothing until the client gives up or the test is over."""
        while not self._stopping.is_set():
            readable, _, _ = select.select([client], [], [], 0.1)
            if readable and not client.recv(CHUNK):
                return

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(
                target=self._guarded, args=(client,), name="proxied", daemon=True
            ).start()

    def _guarded(self, client: socket.socket) -> None:
        try:
            self._serve(client)
        except (OSError, ValueError):
            pass  # either side went away: that is what a proxy is for
        finally:
            client.close()

    @contextmanager
    def _tracked(self, connection: socket.socket) -> Iterator[None]:
        """`refuse` ends it."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)


def _abort(connection: socket.socket) -> None:
    """End one that another thread is waiting on."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        connection.shutdown(socket.SHUT_RDWR)


def reset(connection: socket.socket) -> None:
    """End it with RST, whatever is still under way."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    with suppress(OSError):
        connection.close()
