"""A fake queue manager with the answers of a test, and the command run against it."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gpuq.__main__ import main


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    call: str  #: "POST /submit"
    body: Any
    headers: dict[str, str]


class FakeServer:
    """`answers` has answers by "METHOD /path", in turn; the last one is repeated."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = f"{self.command} {self.path}"
                fake.asked.append(
                    Asked(call, json.loads(body) if body else None, dict(self.headers))
                )
                answer = fake.answer_to(call)
                self.send_response(answer.status)
                for name, value in {
                    **answer.headers,
                    "Content-Length": str(len(answer.body)),
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_POST = do_DELETE = do_GET

            def log_message(self, *_args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def on(
        self, call: str, *bodies: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answer `call` with these bodies in turn: objects as JSON, bytes unchanged."""
        encoded = [
            body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies
        ]
        self.answers.setdefault(call, []).extend(
            Answer(status, body, headers or {}) for body in encoded
        )

    def refuse(
        self,
        call: str,
        status: int,
        detail: str,
        errors: list[dict[str, str]] | None = None,
        **more: Any,
    ) -> None:
        """Answer `call` with a problem; `more` are further fields, like `code`."""
        problem = {
            "title": "No",
            "status": status,
            "detail": detail,
            "errors": errors or [],
            **more,
        }
        self.on(call, problem, status=status, headers={"Content-Type": "application/problem+json"})

    def answer_to(self, call: str) -> Answer:
        answers = self.answers.get(call) or [Answer(404, b'{"detail": "There is no such thing."}')]
        return answers.pop(0) if len(answers) > 1 else answers[0]


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def gpuq(server: FakeServer, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command against the fake server, in this process."""

    def run(*arguments: str) -> Ran:
        code = main(["--server", server.url, *arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run


def job(
    status: str = "running",
    code: str = "running",
    message: str = "Running on gpu-1.",
    detail: str = "",
    **fields: Any,
) -> Any:
    """Return a record as GET /jobs/<id> answers it."""
    return {
        "job_id": "ann_20261124120000",
        "user": "ann",
        "status": status,
        "reason": {"code": code, "message": message, "detail": detail},
        "position": None,
        "estimated_wait": None,
        **fields,
    }


@pytest.fixture
def make_job() -> Callable[..., Any]:
    return job
