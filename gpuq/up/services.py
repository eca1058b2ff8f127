"""The four services of `gpuq up` as data: the command, the environment, and when each is ready."""

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
    """One process to start; `trouble()` says why it is not ready, None once it is."""

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(repr=False)
    trouble: Callable[[], str | None]
    pass_fds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ports:
    host: str  #: of the queue manager; the others listen on 127.0.0.1
    queue_manager: int
    monitor: int
    redis: int
    auth: str = "off"  #: `token` or `off`

    @property
    def redis_url(self) -> str:
        return f"redis://{redis_server.HOST}:{self.redis}/0"

    @property
    def api(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.queue_manager}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor}"


#: The queue manager first, so that nobody submits any more; Redis last, when nobody writes any more.
STOP_ORDER = ("queue-manager", "scheduler", "resource-monitor", "redis")


def make_services(
    folder: Folder, ports: Ports, env: Mapping[str, str], lifeline: int, lock: int
) -> list[Service]:
    """In the order in which they are started. `lifeline`: the end of the pipe that the trainings' runners watch."""

    def python(name: str, module: str, url: str, pass_fds: tuple[int, ...] = ()) -> Service:
        client, path = (
            Client(url.rpartition("/")[0], PROBE_TIMEOUT_S, is_here=True),
            f"/{url.rpartition('/')[2]}",
        )
        return Service(
            name, [sys.executable, "-m", module], env, lambda: client.trouble(path), pass_fds
        )

    binary = redis_server.find_binary()
    redis = redis_server.command(binary, ports.redis, folder.redis)
    return [
        # Redis holds the folder's lock too: two of them in one folder would destroy it.
        Service("redis", redis, env, lambda: redis_server.ping(ports.redis), (lock,)),
        python("resource-monitor", "resource_monitor", f"{ports.monitor_url}/readyz"),
        python("queue-manager", "queue_manager", f"{ports.api}/healthz"),
        # The scheduler has no port; the queue manager is ready when it has seen the scheduler's heartbeat.
        python("scheduler", "scheduler", f"{ports.api}/readyz", (lifeline,)),
    ]


def make_environment(
    folder: Folder, ports: Ports, lifeline: int, has_gpu: bool, cpu_gate: bool
) -> dict[str, str]:
    """Of all four: what the caller has set (thresholds, alerts, log level), and on top what only we can know."""
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
    env.pop(
        token_file.ENV, None
    )  # of the one who starts us, for another queue manager perhaps; nobody here needs it
    env.setdefault("WORKFLOW_TEMPLATE", str(shipped_workflows() / "proto-gcn-workflow.yaml"))
    if not has_gpu:
        env["REQUIRE_GPU"] = "false"
    if not cpu_gate:
        env["CPU_PERCENT"] = "off"
    return env
