"""For any answer of a monitor, the client returns a node with a valid snapshot or a problem."""

import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from devtools.testbed.fakes import FakeClock, make_node
from scheduler.decide.capacity import Node
from scheduler.monitors import MonitorClient

GOOD = make_node("gpu-1").snapshot
assert GOOD is not None


class Liar:
    """This HTTP server on loopback sends the answers that a test sets."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: None
        self.paths: list[str] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                liar.paths.append(self.path)
                liar.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer((host, port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://{host}:{self.server.server_port}"

    def says(self, body: bytes, status: int = 200, length: int | None = None) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(body) if length is None else length))
            handler.end_headers()
            handler.wfile.write(body)

        self.answer = answer


@pytest.fixture
def liar() -> Iterator[Liar]:
    liar = Liar()
    yield liar
    liar.server.shutdown()
    liar.server.server_close()


def with_gpu(**fields: Any) -> bytes:
    body = GOOD.encode()
    body["gpus"] = [{**body["gpus"][0], **fields}]
    return json.dumps(body).encode()


def test_a_good_answer(liar: Liar) -> None:
    liar.says(json.dumps(GOOD.encode()).encode())
    [node] = MonitorClient(liar.url).nodes()
    assert node.snapshot == GOOD
    assert liar.paths == ["/status"]


def test_a_proxy_of_the_lab_is_not_asked(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Liar()
    proxy.says(b"a proxy's page of HTML")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    liar.says(json.dumps(GOOD.encode()).encode())
    try:
        [node] = MonitorClient(liar.url).nodes()
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
    assert node.snapshot == GOOD
    assert proxy.paths == []


def test_each_node_is_asked_for_its_own_window(liar: Liar) -> None:
    liar.says(json.dumps(GOOD.encode()).encode())
    client = MonitorClient(liar.url)
    client.nodes({"gpu-1": 1.5})  # the name of the node there is not known yet
    client.nodes({"gpu-1": 1.5, "other": 3.0})
    client.nodes({"gpu-1": 0.0})
    assert liar.paths == ["/status", "/status?window_s=1.500", "/status?window_s=0.001"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "cannot be trusted"),
        (b"<html><body>It works!</body></html>", "cannot be trusted"),
        (json.dumps(GOOD.encode()).encode()[:-20], "cannot be trusted"),
        (b"[" * 50_000, "cannot be trusted"),
        (b"x" * 70_000, "more than 64 KiB"),
        (with_gpu(utilization_percent=math.nan), "cannot be trusted"),
        (with_gpu(utilization_percent=-1), "cannot be trusted"),
        (with_gpu(utilization_percent=101), "cannot be trusted"),
        (with_gpu(utilization_percent="12"), "cannot be trusted"),
        (with_gpu(memory_free_mb=None), "cannot be trusted"),
        (b'{"available": true}', "cannot be trusted"),
    ],
)
def test_an_answer_that_cannot_be_true(liar: Liar, body: bytes, says: str) -> None:
    liar.says(body)
    [node] = MonitorClient(liar.url).nodes()
    assert node.snapshot is None
    assert says in node.error


def test_an_error_status(liar: Liar) -> None:
    liar.says(b"no", status=500)
    client = MonitorClient(liar.url, FakeClock())
    assert (
        client.nodes()[0].error
        == "the monitor answers with status 500, since 2026-11-18T11:06:40.000Z"
    )


def test_the_time_without_an_answer_is_reported_and_reset_by_an_answer(liar: Liar) -> None:
    clock = FakeClock()
    client = MonitorClient(liar.url, clock)
    liar.says(b"no", status=500)
    for _ in range(2):
        assert client.nodes()[0].error.endswith("since 2026-11-18T11:06:40.000Z")
        clock.tick(60)
    liar.says(json.dumps(GOOD.encode()).encode())
    assert client.nodes()[0].error == ""
    liar.says(b"no", status=500)
    assert client.nodes()[0].error.endswith("since 2026-11-18T11:08:40.000Z")


def test_cut_off_in_the_middle(liar: Liar) -> None:
    liar.says(json.dumps(GOOD.encode()).encode()[:50], length=5000)
    assert MonitorClient(liar.url).nodes()[0].snapshot is None


def test_fifty_megabytes_are_not_read(liar: Liar) -> None:
    sent = []

    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(50):
                handler.wfile.write(b"x" * 2**20)
                sent.append(1)
        except OSError:
            pass  # the client hung up, as it should

    liar.answer = pour
    assert "more than 64 KiB" in MonitorClient(liar.url).nodes()[0].error
    assert len(sent) < 50


def test_a_slow_drip_is_cut_off(liar: Liar) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass

    liar.answer = drip
    begin = time.monotonic()
    assert "does not answer" in MonitorClient(liar.url).nodes()[0].error
    assert time.monotonic() - begin < 5


def test_slow_headers_do_not_delay_the_cycle(liar: Liar) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            for letter in b"HTTP/1.1 200 OK" * 10:
                handler.wfile.write(bytes([letter]))
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass

    liar.answer = drip
    begin = time.monotonic()
    assert "does not answer" in MonitorClient(liar.url).nodes()[0].error
    assert time.monotonic() - begin < 5


def test_a_node_without_an_answer_keeps_its_name(liar: Liar) -> None:
    liar.says(json.dumps(GOOD.encode()).encode())
    client = MonitorClient(liar.url)
    client.nodes()
    liar.server.shutdown()
    liar.server.server_close()
    [node] = client.nodes()
    assert (node.name, node.snapshot) == ("gpu-1", None)
    assert "cannot be reached" in node.error


def test_a_name_without_an_address() -> None:
    [node] = MonitorClient("http://resource-monitor.invalid:8080").nodes()
    assert "has no address" in node.error


def test_every_address_of_a_name_is_asked(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind one name are two loopback addresses, as with a headless Service, of which one has a
    monitor.
    """
    liar.says(json.dumps(GOOD.encode()).encode())
    port = liar.server.server_port
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host in ("127.0.0.1", "127.0.0.2")
    ]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: found if host == "monitors" else real(host, *rest, **more),
    )
    nodes = {node.name: node for node in MonitorClient(f"http://monitors:{port}").nodes()}
    assert nodes["gpu-1"].snapshot == GOOD
    assert "cannot be reached" in nodes["127.0.0.2"].error


@pytest.fixture
def two(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Liar, Liar, "Names"]]:
    """Provide two monitors behind one name, as with a headless Service, and its addresses."""
    other, names = Liar("127.0.0.2", liar.server.server_port), Names(liar.server.server_port)
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    yield liar, other, names
    other.server.shutdown()
    other.server.server_close()


class Names:
    """This resolver knows one name, `monitors`."""

    def __init__(self, port: int) -> None:
        self.port, self.hosts, self._real = port, ["127.0.0.1", "127.0.0.2"], socket.getaddrinfo

    def getaddrinfo(self, host: str, *rest: Any, **more: Any) -> Any:
        if host != "monitors":
            return self._real(host, *rest, **more)
        if not self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, self.port))
            for address in self.hosts
        ]

    def client(self) -> MonitorClient:
        return MonitorClient(f"http://monitors:{self.port}", FakeClock())


def body(node: Node) -> bytes:
    assert node.snapshot is not None
    return json.dumps(node.snapshot.encode()).encode()


def test_two_nodes_in_the_order_of_their_names(two: tuple[Liar, Liar, Names]) -> None:
    first, second, names = two
    first.says(body(make_node("gpu-2")))
    second.says(body(make_node("gpu-1", 4)))
    assert [node.name for node in names.client().nodes()] == ["gpu-1", "gpu-2"]


def test_two_addresses_of_one_machine_are_one_node_with_the_stricter_answer(
    two: tuple[Liar, Liar, Names],
) -> None:
    """While a monitor's pod is being replaced, both answer, one of them with fewer samples."""
    first, second, names = two
    first.says(body(make_node("gpu-1", 2)))
    second.says(body(make_node("gpu-1", 2, busy=(0,))))
    assert names.client().nodes() == [make_node("gpu-1", 2, busy=(0,))]
    first.says(body(make_node("gpu-1", 2, busy=(0, 1))))
    assert names.client().nodes() == [make_node("gpu-1", 2, busy=(0, 1))]


def test_an_answer_outweighs_an_address_that_no_longer_answers(
    two: tuple[Liar, Liar, Names],
) -> None:
    first, second, names = two
    client = names.client()
    first.says(body(make_node("gpu-1")))
    second.says(b"", status=503)
    names.hosts = ["127.0.0.1"]
    client.nodes()
    names.hosts = ["127.0.0.1", "127.0.0.2"]
    first.says(b"", status=503)
    second.says(body(make_node("gpu-1")))
    assert client.nodes() == [make_node("gpu-1")]


def test_two_machines_under_one_name_are_neither_trusted(two: tuple[Liar, Liar, Names]) -> None:
    first, second, names = two
    first.says(body(make_node("gpu-1")))
    second.says(body(make_node("gpu-1", 2)))
    [node] = names.client().nodes()
    assert (
        node.error == "2 monitors of different machines have the name gpu-1; set NODE_NAME of each"
    )


def test_an_address_removed_from_the_name_is_dropped(two: tuple[Liar, Liar, Names]) -> None:
    first, second, names = two
    client = names.client()
    first.says(body(make_node("gpu-1")))
    second.says(body(make_node("gpu-2")))
    client.nodes()
    names.hosts = ["127.0.0.1"]
    assert [node.name for node in client.nodes()] == ["gpu-1"]
    names.hosts = []
    [node] = client.nodes()
    assert node.name == "gpu-1"
    assert "has no address" in node.error
