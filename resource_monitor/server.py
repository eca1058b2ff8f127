"""The monitor under gunicorn (the only file that imports it): one worker with a few threads and the sampler."""

import socket

from flask import Flask
from gunicorn.app.base import BaseApplication

from jobqueue.log import get_logger
from resource_monitor import create_app
from resource_monitor.sampler import Sampler, command
from resource_monitor.settings import Settings

log = get_logger(__name__)


class CannotListen(Exception):
    """The address is taken, or not ours; the text is one sentence for a person."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Bound here and not by gunicorn, which would try for five seconds and say it five times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        message = f"Cannot listen on {host} port {port}: {why}. Set MONITOR_HOST and MONITOR_PORT to another address."
        raise CannotListen(message) from None


class Server(BaseApplication):
    """`run` serves until SIGTERM or SIGINT, and raises SystemExit."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings, self._listener = settings, listener
        self._sampler: Sampler | None = None
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": 8,
            # No kept-alive connections: a stopping worker would wait for them longer than the two seconds it has.
            "keepalive": 0,
            "graceful_timeout": 1,
            "control_socket_disable": True,
            "proc_name": "resource-monitor",
            "loglevel": "warning",
            "worker_exit": lambda _arbiter, _worker: self._stop_sampler(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in the worker, after the fork: threads and the sampler's pipe would not survive it."""
        self._sampler = Sampler(command(self._settings.sample_period_s))
        self._sampler.start()
        return create_app(self._sampler, self._settings)

    def _stop_sampler(self) -> None:
        if self._sampler:
            self._sampler.stop()
