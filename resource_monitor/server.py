"""The monitor under gunicorn (the only file that imports it): one worker with a few threads and the sampler."""

import socket

from flask import Flask
from gunicorn.app.base import BaseApplication

from jobqueue.service.log import get_logger
from resource_monitor import create_app
from resource_monitor.sampler import Sampler, command
from resource_monitor.settings import Settings

log = get_logger(__name__)


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
