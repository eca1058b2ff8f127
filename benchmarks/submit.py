"""Compare `POST /submit` with a bare Flask route that does one LPUSH.

Both have the same Valkey (AOF `always`), workers, threads and client. Both run all the time, and
their rounds alternate; each pair of rounds has one ratio, and the median counts.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis
from flask import Flask, Response, jsonify, request

from benchmarks.filled import set_to_work
from benchmarks.keep_alive import post, throughput
from benchmarks.result import Result
from devtools import ROOT
from devtools.testbed.system import System, free_port, running_system, wait_for

THREADS = "40"  # the queue manager's own default
PAIRS = 15
A_ROUND = 400  # requests
USERS = 500
_NO_CAPS = {"MAX_QUEUED_PER_USER": "1000000", "MAX_QUEUED": "10000000"}


def bare() -> Flask:
    """Return the application to compare with; gunicorn calls this in its worker."""
    app = Flask(__name__)
    queue = redis.Redis.from_url(os.environ["REDIS_URL"])

    @app.post("/submit")
    def submit() -> tuple[Response, int]:
        queue.lpush("bare", request.get_data())
        return jsonify({"status": "queued"}), 202

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app


def run() -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        _both(Path(folder) / "system") as (system, bare_port),
    ):
        requests = [_request(f"user{number % USERS}") for number in range(A_ROUND)]
        return [_ratio(system.api_port, bare_port, requests, clients) for clients in (1, 8)]


def _ratio(ours: int, theirs: int, requests: list[bytes], clients: int) -> Result:
    for port in (ours, theirs):
        throughput(port, requests, clients)  # to warm up
    pairs = [[throughput(port, requests, clients) for port in (ours, theirs)] for _ in range(PAIRS)]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    who = "1 client" if clients == 1 else f"{clients} clients"
    return Result(f"POST /submit, throughput against a bare LPUSH, {who}", ratio, "×", 0.5, "≥")


def _request(user: str) -> bytes:
    body = {"user": user, "config": "config.yaml", "workdir": f"/data/{user}"}
    return post("/submit", json.dumps(body).encode())


@contextlib.contextmanager
def _both(folder: Path) -> Iterator[tuple[System, int]]:
    """Yield the system as shipped, with a training and queued jobs; and the bare one's port."""
    with running_system(
        folder, "redis", "queue_manager", QUEUE_MANAGER_THREADS=THREADS, **_NO_CAPS
    ) as system:
        shutil.copy(ROOT / "workflows" / "configs" / "config.yaml", folder / "configs")
        set_to_work(system.store)
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "benchmarks.submit:bare()",
            "--bind",
            f"127.0.0.1:{port}",
        ]
        options = [
            "--worker-class",
            "gthread",
            "--workers",
            "1",
            "--threads",
            THREADS,
            "--no-control-socket",
        ]
        with (folder / "logs" / "bare.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *options], env=system.env, stdout=log, stderr=log, cwd=ROOT
            )
        try:
            wait_for(
                "the bare route answers", lambda: system.answers(f"http://127.0.0.1:{port}/healthz")
            )
            yield system, port
        finally:
            process.terminate()
            process.wait(timeout=20)
