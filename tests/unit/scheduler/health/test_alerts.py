"""Alerts reach the log and ALERT_URLS, and never delay the loop."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from scheduler.health.alerts import Alerts


class Sink:
    """An HTTP server on loopback that keeps the posted bodies; `slow` makes it wait first."""

    def __init__(self) -> None:
        self.got: queue.Queue[dict[str, Any]] = queue.Queue()
        self.slow = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if sink.slow.is_set():
                    time.sleep(2)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.got.put(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.server.shutdown()
    sink.server.server_close()


def test_an_alert_reaches_the_sink_with_its_remedy(sink: Sink) -> None:
    Alerts((sink.url,)).send("The scheduler is halted: Redis is unreachable.", "Start Redis.")
    got = sink.got.get(timeout=20)
    assert got["title"] == "gpuq: The scheduler is halted: Redis is unreachable."
    assert got["message"] == "Start Redis."


def test_a_slow_address_delays_nothing(sink: Sink) -> None:
    sink.slow.set()
    alerts = Alerts((sink.url,))
    begin = time.monotonic()
    for number in range(150):  # more than may wait: the rest is only logged
        alerts.send(f"alert {number}", "…")
    assert time.monotonic() - begin < 5


def test_the_same_alert_is_sent_once(sink: Sink) -> None:
    alerts = Alerts((sink.url,))
    for _ in range(3):
        alerts.once("The template is missing.", "Add it.")
    alerts.send("last", "Nothing.")
    assert [sink.got.get(timeout=20)["title"] for _ in range(2)] == [
        "gpuq: The template is missing.",
        "gpuq: last",
    ]


def test_an_unsupported_url_is_logged_and_the_others_work(sink: Sink) -> None:
    Alerts(("nonsense://x", sink.url)).send("still sent", "Nothing.")
    assert sink.got.get(timeout=20)["title"] == "gpuq: still sent"
