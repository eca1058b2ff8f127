"""The four services of `gpuq up` as data: command, environment, and a check of readiness."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gpuq.remote import token_file
from gpuq.remote.client import Client
from gpuq.up import redis_server
from gpuq.up.folder import Folder, shipped_workflows

PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Service:
    """One process to start; `problem()` is why it is not ready, None once it is."""

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(repr=False)
    problem: Callable[[], str | None]
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ports:
    """The ports of the services, and the queue manager's host and AUTH."""

    host: str  #: of the queue manager; the others listen on 127.0.0.1
    queue_manager: int
    monitor: int
    redis: int
    auth: str = "off"  #: `token` or `off`

    @property
    def redis_url(self) -> str:
        """The queue's Redis."""
        return f"redis://{redis_server.HOST}:{self.redis}/0"

    @property
    def api(self) -> str:
        """The queue manager's address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.queue_manager}"

    @property
    def monitor_url(self) -> str:
        """The resource monitor's address."""
        return f"http://127.0.0.1:{self.monitor}"


#: The queue manager first, so that no job is submitted; Redis last, when no service writes.
STOP_ORDER = ("queue-manager", "scheduler", "resource-monitor", "redis")


def make_services(
    folder: Folder, ports: Ports, env: Mapping[str, str], lifeline: int, lock: int
) -> list[Service]:
    """Return the services in the order in which they are started.

    `lifeline` is the descriptor of the pipe that the trainings' runners watch.
    """

    def python(name: str, module: str, url: str, pass_fds: tuple[int, ...] = ()) -> Service:
        server, _, path = url.rpartition("/")
        client = Client(server, PROBE_TIMEOUT_S, is_here=True)
        argv = [sys.executable, "-m", module]
        return Service(name, argv, env, lambda: client.health_problem(f"/{path}"), pass_fds)

    binary = redis_server.find_binary()
    redis = redis_server.command(binary, ports.redis, folder.redis)
    return [
        # Redis holds the folder's lock too: two of them in one folder would destroy the data.
        Service("redis", redis, env, lambda: redis_server.ping(ports.redis), (lock,)),
        python("resource-monitor", "resource_monitor", f"{ports.monitor_url}/readyz"),
        python("queue-manager", "queue_manager", f"{ports.api}/healthz"),
        # The scheduler has no port; its heartbeat makes the queue manager ready.
        python("scheduler", "scheduler", f"{ports.api}/readyz", (lifeline,)),
    ]


def make_environment(
    folder: Folder, ports: Ports, lifeline: int, has_gpu: bool, cpu_gate: bool
) -> dict[str, str]:
    """Return the environment of all four: the caller's settings, overridden by what we decide."""
    env = {
        **os.environ,
        "ENGINE": "local",
        "AUTH": ports.auth,
        "REDIS_URL": ports.redis_url,
        "DATA_ROOT": str(folder.data),
        "CONFIG_ROOT": str(folder.configs),
        "LOCAL_STATE_DIR": str(folder.workflows),
        "QUEUE_MANAGER_HOST": ports.host,
        "QUEUE_MANAGER_PORT": str(ports.queue_manager),
        "MONITOR_HOST": "127.0.0.1",
        "MONITOR_PORT": str(ports.monitor),
        "RESOURCE_MONITOR_URL": ports.monitor_url,
        "LIFELINE_FD": str(lifeline),
    }
    env.pop(token_file.ENV, None)  # the caller's own token, perhaps for another queue manager
    env.setdefault("WORKFLOW_TEMPLATE", str(shipped_workflows() / "proto-gcn-workflow.yaml"))
    if not has_gpu:
        env["REQUIRE_GPU"] = "false"
    if not cpu_gate:
        env["CPU_PERCENT"] = "off"
    return env
