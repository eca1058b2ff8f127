"""Check whether ports are free, find a free one, and find out which process has one."""

import errno
import socket
from pathlib import Path

from gpuq.errors import GpuqFailure

_LISTEN = "0A"


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there."""
    return _refusal(host, port) is None


def free_port(host: str) -> int:
    """Return a port on which nobody listens now."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_free(host: str, port: int, option: str) -> None:
    """Raise GpuqFailure, with the reason and the option to change, if the port is not free."""
    refusal = _refusal(host, port)
    if refusal is None:
        return
    is_taken = refusal.errno == errno.EADDRINUSE
    why = f"is taken{_by_whom(port)}" if is_taken else f"cannot be used ({refusal.strerror})"
    raise GpuqFailure(f"Port {port} {why}; use another one with {option}.")


def _refusal(host: str, port: int) -> OSError | None:
    """Return the kernel's error for a server that wants to listen there, None if there is none."""
    with socket.socket(_family(host)) as probe:
        # Connections that are closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _by_whom(port: int) -> str:
    try:
        owner = _owner(_listening_inodes(port))
    except OSError:
        owner = None
    return f" by {owner}" if owner else ""


def _listening_inodes(port: int) -> set[str]:
    """Return the sockets that listen on `port`, from the kernel's tables."""
    found = set()
    for path in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _owner(sockets: set[str]) -> str | None:
    """Return `command (pid n)` of a process that has one of them open, if we may see it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                text = command.decode(errors="replace").strip()
                return f"{text[:80]} (pid {process.name})"
        except OSError:
            continue  # another user's process, or one that has ended
    return None
