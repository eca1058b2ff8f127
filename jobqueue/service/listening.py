"""This module binds the socket that a service listens on, before anything is started."""

import ipaddress
import socket


class CannotListen(Exception):
    """The address is in use or not of this machine; the text is one sentence for a person."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the address or name."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int, remedy: str) -> socket.socket:
    """Return a listening socket; raises CannotListen with `remedy`.

    gunicorn does not bind it, because it would try for five seconds and report it five times.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise CannotListen(f"Cannot listen on {host} port {port}: {why}. {remedy}") from None
