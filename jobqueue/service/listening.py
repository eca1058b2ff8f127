"""The socket that a service listens on, bound before anything is started."""

import ipaddress
import socket


class CannotListen(Exception):
    """The address is taken, or not ours; the text is one sentence for a person."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that address or name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int, remedy: str) -> socket.socket:
    """A listening socket; raises CannotListen with `remedy`.

    Bound here and not by gunicorn, which would try for five seconds and say it five times.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise CannotListen(f"Cannot listen on {host} port {port}: {why}. {remedy}") from None
