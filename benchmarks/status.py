"""Compare `GET /status/<user>` with a million queued jobs and with ten; measure a job's memory.

Requests to two whole systems alternate. The user has ten queued jobs in both, somewhere in the
queue. The memory is what a queued job needs in Redis.
"""

import os
import random
import tempfile
import time
from pathlib import Path

import redis

from benchmarks.filled import CONFIG_TEXT, fill, set_to_work
from benchmarks.keep_alive import Connection, get
from benchmarks.result import Result, p99
from devtools.testbed.system import System, running_system

MANY = int(os.environ.get("BENCH_QUEUED", "1000000"))
EACH = 10  # jobs of a user
BLOCK = 50  # requests, then the other system's turn
BLOCKS = 60


def run() -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(Path(folder) / "few", "redis", "queue_manager") as few,
        running_system(Path(folder) / "many", "redis", "queue_manager") as many,
    ):
        _prepare(few, EACH)
        bytes_each = _prepare(many, MANY)
        ratio = _ratio(few, many)
    return [
        Result(
            f"GET /status/<user>, p99 with {MANY:,} queued jobs against p99 with {EACH}",
            ratio,
            "×",
            2.0,
        ),
        Result(
            "memory of a queued job in Redis beside its config's text",
            bytes_each / 1024,
            "KiB",
            1.5,
        ),
    ]


def _prepare(system: System, jobs: int) -> float:
    """Fill the queue and set it to work; return the bytes of each job, without its config."""
    with redis.Redis.from_url(system.redis_url) as client:
        client.config_set("appendonly", "no")  # while filling; nothing is written later
        before = _used_bytes(client)
        fill(system.redis_url, jobs, jobs // EACH)
        assert client.llen("job_queue") == jobs
        taken = _used_bytes(client) - before
    set_to_work(system.store)
    return taken / jobs - len(CONFIG_TEXT)


def _used_bytes(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])


def _ratio(few: System, many: System) -> float:
    systems = ((few, EACH, Connection(few.api_port)), (many, MANY, Connection(many.api_port)))
    times: dict[int, list[float]] = {EACH: [], MANY: []}
    for block in range(BLOCKS):
        for _, jobs, connection in systems:
            taken = [_time(connection, f"u{random.randrange(jobs // EACH)}") for _ in range(BLOCK)]
            times[jobs] += taken if block else []  # the first ones warm up
    return p99(times[MANY]) / p99(times[EACH])


def _time(connection: Connection, user: str) -> float:
    begin = time.perf_counter()
    answer = connection.exchange(get(f"/status/{user}"))
    assert answer.startswith(b"HTTP/1.1 200"), answer
    return time.perf_counter() - begin
