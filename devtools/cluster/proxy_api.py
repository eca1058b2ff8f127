"""Before an API server (TLS): see proxy.py."""

import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from devtools.cluster.pki import Authority
from devtools.cluster.proxy import CHUNK, Fault, Proxy, Rule, reset


class ApiProxy(Proxy):
    """Before an API server: ends TLS with a certificate of ours, one request a connection, so that
    a rule sees each.

    Clients have to bring a token, since a certificate does not get past it. `calls` is every
    request that came.
    """

    def __init__(self, upstream: str, ca: Path, authority: Authority) -> None:
        parts = urlsplit(upstream)
        self._upstream = (str(parts.hostname), int(parts.port or 443))
        self._client_context = ssl.create_default_context(cafile=str(ca))
        pair = authority.server(
            f"proxy-{secrets.token_hex(4)}"
        )  # several at once: each its own files
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
            reset(client)

    def _forward(self, request: bytes, give: Callable[[bytes], object]) -> None:
        """The request to the API server, and its answer, piece by piece as it comes: a watch has no
        end.
        """
        with socket.create_connection(self._upstream, timeout=10) as plain:
            plain.settimeout(None)
            context = self._client_context
            with (
                context.wrap_socket(plain, server_hostname=self._upstream[0]) as upstream,
                self._tracked(upstream),
            ):
                upstream.sendall(request)
                while piece := upstream.recv(CHUNK):
                    give(piece)


def _read_request(client: ssl.SSLSocket) -> bytes:
    """One whole request, told to close afterwards; empty where none came."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = client.recv(CHUNK)
        if not piece:
            return b""
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(CHUNK)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def _status(rule: Rule) -> bytes:
    """Return the response of an API server in such a case: its body is a Status object."""
    kind = b'"kind":"Status","apiVersion":"v1","status":"Failure"'
    body = b'{%s,"message":"the test says so","code":%d}' % (kind, rule.status)
    wait = f"Retry-After: {rule.retry_after_s}\r\n" if rule.retry_after_s is not None else ""
    head = f"HTTP/1.1 {rule.status} Test\r\nContent-Type: application/json\r\n{wait}"
    return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
