"""A small real HTTP server takes the place of an API server: it answers as a test tells it to."""

import json
import re
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

Object = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """One answer: the last `cut` bytes of the body never arrive; `lines` are those of a watch.

    With `hold` the watch stays open at its end.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    lines: Iterable[Any] | None = None
    hold: bool = False


class Reset:
    """The connection is reset after the request has been read."""


class Silence:
    """No answer at all until the server ends."""


Answer = Said | Reset | Silence


def status(code: int, reason: str, message: str, name: str = "", **details: Any) -> Said:
    """A Status object, as the API server says no."""
    body = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return Said(body | {"details": {"name": name, **details}}, code)


def absent(name: str) -> Said:
    return status(404, "NotFound", f'workflows.argoproj.io "{name}" not found', name)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]


class ApiServer:
    """The newest matching rule answers: with each of its answers once, then with the last."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[Request] = []
        self._rules: list[tuple[str, re.Pattern[str], list[Answer]]] = []
        self._lock = threading.Lock()
        self.ending = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()
        self.kubeconfig = folder / "kubeconfig"
        self.write_kubeconfig("token-1")

    def write_kubeconfig(self, token: str) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "test", "user": {"token": token}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def on(self, method: str, path: str, *answers: Answer) -> None:
        """Answer requests whose path (without query) matches the pattern as a whole."""
        self._rules.insert(0, (method, re.compile(path), list(answers)))

    def calls(self) -> list[str]:
        """What was asked: method and the last parts of the path."""
        return [
            f"{request.method} {request.path.partition('/namespaces/gpuq/')[2] or request.path}"
            for request in self.requests
        ]

    def end(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            for method, path, answers in self._rules:
                if method == request.method and path.fullmatch(request.path):
                    return answers.pop(0) if len(answers) > 1 else answers[0]
        return Said({"message": f"no rule for {request.method} {request.path}"}, 599)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query = dict(parse_qsl(url.query))
                said = json.loads(body) if body else None
                answer = server._answer(
                    Request(
                        self.command,
                        url.path,
                        query,
                        said,
                        {name.lower(): value for name, value in self.headers.items()},
                    )
                )
                if isinstance(answer, Reset):
                    self.connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    self.close_connection = True
                    self.connection.close()
                elif isinstance(answer, Silence):
                    server.ending.wait()
                    self.close_connection = True
                elif answer.lines is not None:
                    self._stream(answer)
                else:
                    self._say(answer)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve

            def _say(self, answer: Said) -> None:
                text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
                body = text.encode()
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: len(body) - answer.cut])
                self.close_connection = self.close_connection or bool(answer.cut)

            def _stream(self, answer: Said) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                try:
                    for line in answer.lines or ():
                        text = line if isinstance(line, str) else json.dumps(line)
                        data = text.encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                    if answer.hold:
                        server.ending.wait()
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:  # the client has had enough
                    pass
                self.close_connection = True

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):  # a connection that was reset on purpose
                    pass

            def finish(self) -> None:
                try:
                    super().finish()
                except (OSError, ValueError):
                    pass

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler
