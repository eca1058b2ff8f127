"""This module runs the monitor under gunicorn (only this file imports it), in one worker."""

import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from resource_monitor import create_app
from resource_monitor.sampler import Sampler, command
from resource_monitor.settings import Settings

_OPTIONS: dict[str, Any] = {
    "worker_class": "gthread",
    "workers": 1,
    "threads": 8,
    # Without kept-alive connections: a stopping worker would wait for them longer than its 2 s.
    "keepalive": 0,
    "graceful_timeout": 1,
    "control_socket_disable": True,
    "proc_name": "resource-monitor",
    "loglevel": "warning",
}


class Server(BaseApplication):
    """`run` serves until SIGTERM or SIGINT, then raises SystemExit."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        self._sampler: Sampler | None = None
        super().__init__()

    def load_config(self) -> None:
        options = _OPTIONS | {
            "bind": f"fd://{self._listener.detach()}",
            "worker_exit": lambda _arbiter, _worker: self._stop_sampler(),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Start the sampler and return the application.

        gunicorn calls this in the worker: the sampler's thread and pipe would not survive a fork.
        """
        self._sampler = Sampler(command(self._settings.sample_period_s))
        self._sampler.start()
        return create_app(self._sampler, self._settings)

    def _stop_sampler(self) -> None:
        if self._sampler:
            self._sampler.stop()
