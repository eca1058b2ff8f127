"""Stands before the API server (TLS) or before Redis (plain TCP) and does to what passes whatever a network may do.

A test says `proxy.fails(Fault.DROP, r"^POST .*/workflows$")`: the next request that matches is forwarded, takes
effect, and its answer never arrives. For the API server the expression is matched against `METHOD /path?query`, for
Redis against the bytes of what the client sends.
"""

import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.pki import Authority

_CHUNK = 65536
_LINGER_0 = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # close() sends RST


class Fault(StrEnum):
    RESET = "reset"  #: not forwarded, connection reset
    RESET_AFTER = "reset after"  #: forwarded, took effect, connection reset instead of the answer
    DROP = "drop"  #: forwarded, took effect, no answer ever
    HALF_OPEN = "half-open"  #: not forwarded, no answer ever
    DELAY = "delay"  #: forwarded after `seconds`
    ANSWER = "answer"  #: not forwarded, answered with `status` (API server only)
    ANSWER_AFTER = "answer after"  #: forwarded, took effect, answered with `status` (API server only)
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


class _Server:
    """Accepts on a free port of loopback, one thread a connection; `close` ends all of them."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.accept()

    # -- what a test says ------------------------------------------------------------------------------------------

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
        """Do this to the next `times` requests that match; the rule that is returned counts its `hits`."""
        rule = Rule(fault, re.compile(matches), times, seconds, status, retry_after_s)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heals(self) -> None:
        """No rule any more."""
        with self._lock:
            self._rules.clear()

    def refuse(self) -> None:
        """Nobody listens any more, and what was open is reset."""
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

    # -- for the two kinds -----------------------------------------------------------------------------------------

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _take(self, what: str) -> Rule | None:
        """The first rule that matches and has not been used up."""
        with self._lock:
            for rule in self._rules:
                if rule.hits < rule.times and rule.matches.search(what):
                    rule.hits += 1
                    return rule
        return None

    def _hold(self, client: socket.socket) -> None:
        """Silence, until the client gives up or the test is over."""
        while not self._stopping.is_set():
            readable, _, _ = select.select([client], [], [], 0.1)
            if readable and not client.recv(_CHUNK):
                return

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._guarded, args=(client,), name="proxied", daemon=True).start()

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


class ApiProxy(_Server):
    """Before an API server: ends TLS with a certificate of ours, one request a connection, so that a rule sees each.

    Clients have to bring a token, since a certificate does not get past it. `calls` is every request that came.
    """

    def __init__(self, upstream: str, ca: Path, authority: Authority) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 443))
        self._client_context = ssl.create_default_context(cafile=str(ca))
        pair = authority.server("proxy")
        self._server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server_context.load_cert_chain(pair.cert, pair.key)
        self.calls: list[str] = []
        super().__init__()
        self.url = f"https://127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with self._server_context.wrap_socket(client, server_side=True) as tls, self._tracked(tls):
            request = _read_request(tls)
            if not request:
                return
            method, path, _ = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            self.calls.append(f"{method} {path}")
            rule = self._take(f"{method} {path}")
            if rule is None:
                self._forward(request, tls.sendall)
            else:
                self._fail(rule, tls, request)

    def _fail(self, rule: Rule, client: ssl.SSLSocket, request: bytes) -> None:
        if rule.fault is Fault.DELAY:
            time.sleep(rule.seconds)
            self._forward(request, client.sendall)
            return
        answer = b""
        if rule.fault in (Fault.RESET_AFTER, Fault.DROP, Fault.ANSWER_AFTER, Fault.TRUNCATE):
            parts: list[bytes] = []
            self._forward(request, parts.append)
            answer = b"".join(parts)
        if rule.fault in (Fault.ANSWER, Fault.ANSWER_AFTER):
            client.sendall(_status(rule))
        elif rule.fault in (Fault.DROP, Fault.HALF_OPEN):
            self._hold(client)
        elif rule.fault is Fault.TRUNCATE:
            client.sendall(answer[: len(answer) // 2])
        else:
            _reset(client)

    def _forward(self, request: bytes, give: Callable[[bytes], object]) -> None:
        """The request to the API server, and its answer, piece by piece as it comes: a watch has no end."""
        with socket.create_connection(self._upstream, timeout=10) as plain:
            plain.settimeout(None)
            context = self._client_context
            with context.wrap_socket(plain, server_hostname=self._upstream[0]) as upstream, self._tracked(upstream):
                upstream.sendall(request)
                while piece := upstream.recv(_CHUNK):
                    give(piece)


class TcpProxy(_Server):
    """Before Redis: bytes both ways."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream = ("127.0.0.1", upstream_port)
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._upstream, timeout=10) as upstream, self._tracked(client):
            upstream.settimeout(None)
            while not self._stopping.is_set():
                readable, _, _ = select.select([client, upstream], [], [], 0.5)
                if upstream in readable and not _pass_on(upstream, client):
                    return
                if client in readable and not self._from_client(client, upstream):
                    return

    def _from_client(self, client: socket.socket, upstream: socket.socket) -> bool:
        piece = client.recv(_CHUNK)
        rule = self._take(piece.decode("latin-1")) if piece else None
        if rule is None:
            upstream.sendall(piece)
            return bool(piece)
        if rule.fault is Fault.DELAY:
            time.sleep(rule.seconds)
            upstream.sendall(piece)
            return True
        answer = b""
        if rule.fault in (Fault.RESET_AFTER, Fault.DROP, Fault.TRUNCATE):
            upstream.sendall(piece)
            answer = upstream.recv(_CHUNK)
        if rule.fault in (Fault.DROP, Fault.HALF_OPEN):
            self._hold(client)
        elif rule.fault is Fault.TRUNCATE:
            client.sendall(answer[: len(answer) // 2])
        else:
            _reset(client)
        return False


def _read_request(client: ssl.SSLSocket) -> bytes:
    """One whole request, told to close afterwards; empty where none came."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = client.recv(_CHUNK)
        if not piece:
            return b""
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(_CHUNK)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def _status(rule: Rule) -> bytes:
    """What an API server says in such a case: a Status object."""
    body = (
        b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"the test says so","code":%d}' % rule.status
    )
    wait = f"Retry-After: {rule.retry_after_s}\r\n" if rule.retry_after_s is not None else ""
    head = f"HTTP/1.1 {rule.status} Test\r\nContent-Type: application/json\r\n{wait}"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def _pass_on(source: socket.socket, target: socket.socket) -> bool:
    piece = source.recv(_CHUNK)
    target.sendall(piece)
    return bool(piece)


def _abort(connection: socket.socket) -> None:
    """End one that another thread is waiting on."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    """End it with RST, whatever is still under way."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    with suppress(OSError):
        connection.close()
