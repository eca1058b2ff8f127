"""gunicorn (only file that imports it): one worker with threads, so that the followers' places are counted once."""

import logging
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from jobqueue.store import Store
from queue_manager.app import create_app
from queue_manager.settings import QueueManagerSettings


class Server(BaseApplication):
    """`run` serves until SIGTERM or SIGINT, and raises SystemExit."""

    def __init__(self, settings: QueueManagerSettings, listener: socket.socket) -> None:
        self._settings, self._listener = settings, listener
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": self._settings.queue_manager_threads,
            # Followers never end by themselves; after this many seconds their connections are cut.
            "graceful_timeout": 1,
            "control_socket_disable": True,
            "proc_name": "queue-manager",
            "loglevel": "warning",
            "logger_class": _PlainLogger,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in the worker, after the fork: connections would not survive it."""
        return create_app(self._settings, Store.connect(self._settings.redis_url))


class _PlainLogger(Logger):
    """gunicorn's lines take the way of all our lines (jobqueue/log.py)."""

    def setup(self, cfg: Any) -> None:
        self.error_log.setLevel(logging.WARNING)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True
