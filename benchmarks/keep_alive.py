"""A client that costs next to nothing: prepared requests over connections that stay open."""

import socket
import threading
import time
from collections.abc import Sequence


class Connection:
    """One connection to 127.0.0.1:`port`, opened again where the server closed it while it was
    idle.
    """

    def __init__(self, port: int) -> None:
        self._port, self._socket = port, _connect(port)

    def exchange(self, request: bytes) -> bytes:
        """Send one whole request; the whole answer."""
        self._socket.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = self._socket.recv(65536)
            assert piece, "the server closed the connection"
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += self._socket.recv(65536)
        if b"\r\nconnection: close" in head.lower():
            self._socket.close()
            self._socket = _connect(self._port)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._socket.close()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode() + body


def throughput(port: int, requests: Sequence[bytes], clients: int) -> float:
    """Requests a second, shared out over `clients` connections with a thread each; every answer
    must be a 202.
    """
    failed: list[bytes] = []

    def client(mine: Sequence[bytes]) -> None:
        connection = Connection(port)
        for request in mine:
            answer = connection.exchange(request)
            if not answer.startswith(b"HTTP/1.1 202"):
                failed.append(answer)
        connection.close()

    threads = [
        threading.Thread(target=client, args=(requests[number::clients],))
        for number in range(clients)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    return len(requests) / (time.perf_counter() - begin)


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
