"""This proxy is for Redis (plain TCP); see proxy.py."""

import select
import socket
import time

from devtools.cluster.proxy import CHUNK, Fault, Proxy, reset


class TcpProxy(Proxy):
    """This proxy forwards bytes to Redis and back."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream = ("127.0.0.1", upstream_port)
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        with (
            socket.create_connection(self._upstream, timeout=10) as upstream,
            self._tracked(client),
        ):
            upstream.settimeout(None)
            while not self._stopping.is_set():
                readable, _, _ = select.select([client, upstream], [], [], 0.5)
                if upstream in readable and not _pass_on(upstream, client):
                    return
                if client in readable and not self._from_client(client, upstream):
                    return

    def _from_client(self, client: socket.socket, upstream: socket.socket) -> bool:
        piece = client.recv(CHUNK)
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
            answer = upstream.recv(CHUNK)
        if rule.fault in (Fault.DROP, Fault.HALF_OPEN):
            self._hold(client)
        elif rule.fault is Fault.TRUNCATE:
            client.sendall(answer[: len(answer) // 2])
        else:
            reset(client)
        return False


def _pass_on(source: socket.socket, target: socket.socket) -> bool:
    piece = source.recv(CHUNK)
    target.sendall(piece)
    return bool(piece)
