"""These scripted resource monitors have one loopback address per node, like a headless Service.

A test sets what is busy.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devtools.testbed.fakes import make_node
from devtools.testbed.system import free_port

HOST = "monitors.test"


class Monitors:
    """`busy[node]` has the GPUs that are in use there; nodes in `silent` give no valid answer."""

    def __init__(self, nodes: dict[str, int]) -> None:
        self.nodes = nodes
        self.busy: dict[str, tuple[int, ...]] = {}
        self.silent: set[str] = set()
        self._port = free_port()
        self._servers = [
            self._serve(f"127.0.0.{last}", node) for last, node in enumerate(nodes, start=1)
        ]
        addresses = ",".join(str(server.server_address[0]) for server in self._servers)
        #: what a scheduler has to be told to find them (resolver/sitecustomize.py)
        self.env = {
            "RESOURCE_MONITOR_URL": f"http://{HOST}:{self._port}",
            "TEST_HOSTS": f"{HOST}={addresses}",
        }

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _answer(self, node: str) -> bytes:
        if node in self.silent:
            return b"nothing that can be read"
        snapshot = make_node(node, gpus=self.nodes[node], busy=self.busy.get(node, ())).snapshot
        assert snapshot is not None
        return json.dumps(snapshot.encode()).encode()

    def _serve(self, address: str, node: str) -> ThreadingHTTPServer:
        monitors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = monitors._answer(node)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer((address, self._port), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server
