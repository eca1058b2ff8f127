"""gunicorn (only file that imports it): one worker with threads, so that the followers' places are counted once."""

import gc
import logging
import socket
from http import HTTPStatus
from typing import Any

from flask import Flask
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from jobqueue.store.client import Store
from queue_manager.app import create_app
from queue_manager.http.problems import raw_answer, refuse_broken_body
from queue_manager.settings import QueueManagerSettings


class Server(BaseApplication):
    """`run` serves until SIGTERM or SIGINT, and raises SystemExit."""

    def __init__(self, settings: QueueManagerSettings, listener: socket.socket) -> None:
        self._settings, self._listener = settings, listener
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "worker_class": _Worker,
            "workers": 1,
            "threads": self._settings.queue_manager_threads,
            # Followers never end by themselves; after this many seconds their connections are cut.
            "graceful_timeout": 1,
            # Longer than anybody who watches pauses between two calls: a connection that closes just then is an error.
            "keepalive": 15,
            "control_socket_disable": True,
            # gunicorn would believe a SCRIPT_NAME header from this machine; TRUSTED_PROXIES says whom to believe.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "proc_name": "queue-manager",
            "loglevel": "warning",
            "logger_class": _PlainLogger,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called in the worker, after the fork: connections would not survive it."""
        app = create_app(self._settings, Store.connect(self._settings.redis_url))
        app.register_error_handler(
            errors.ParseException, refuse_broken_body
        )  # a chunked body that breaks off
        gc.collect()
        gc.freeze()  # what is there now stays; the collector need not look through it again and again
        return app


class _Worker(ThreadWorker):
    """Refuses what is no HTTP with a problem, where gunicorn would send a page of HTML."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        status, detail = _refusal(exc)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("A request met an error of ours.", exc_info=exc)
        try:
            util.write_nonblock(client, raw_answer(status, detail))
        except OSError:  # the client has gone
            pass


def _refusal(error: BaseException) -> tuple[HTTPStatus, str]:
    for kind, status, detail in _REFUSALS:
        if isinstance(error, kind):
            return status, detail
    return (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The queue manager met an error of its own; see its log.",
    )


_REFUSALS: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
    (
        errors.LimitRequestLine,
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "The request line is longer than 4094 bytes.",
    ),
    (
        errors.LimitRequestHeaders,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "The request has more than 100 headers, or one longer than 8190 bytes.",
    ),
    (
        errors.UnsupportedTransferCoding,
        HTTPStatus.NOT_IMPLEMENTED,
        "This Transfer-Encoding is not known here.",
    ),
    (
        errors.ExpectationFailed,
        HTTPStatus.EXPECTATION_FAILED,
        "Expect takes 100-continue and nothing else.",
    ),
    (
        errors.ParseException,
        HTTPStatus.BAD_REQUEST,
        "The request is not HTTP/1.1 as it is written.",
    ),
)


class _PlainLogger(Logger):
    """gunicorn's lines take the way of all our lines (jobqueue/service/log.py)."""

    def setup(self, cfg: Any) -> None:
        self.error_log.setLevel(logging.WARNING)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True
