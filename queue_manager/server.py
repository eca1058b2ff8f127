"""Serve the application with gunicorn. Only this file imports gunicorn.

There is one worker with threads, so that all followers are counted in one place.
"""

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
from queue_manager.http.problem_answers import raw_answer, refuse_broken_body
from queue_manager.settings import QueueManagerSettings


class Server(BaseApplication):
    """The gunicorn server; `run` serves until SIGTERM or SIGINT and then raises SystemExit."""

    def __init__(self, settings: QueueManagerSettings, listener: socket.socket) -> None:
        self._settings = settings
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options."""
        options = {
            "bind": f"fd://{self._listener.detach()}",
            "worker_class": _Worker,
            "workers": 1,
            "threads": self._settings.queue_manager_threads,
            # Followers never end by themselves; their connections are cut after this many seconds.
            "graceful_timeout": 1,
            # Longer than any poller pauses between two calls: a connection that closes just when
            # the next call is sent is an error for the client.
            "keepalive": 15,
            "control_socket_disable": True,
            # gunicorn would believe a SCRIPT_NAME header from this machine; see TRUSTED_PROXIES.
            "forwarded_allow_ips": "",
            "forwarder_headers": "",
            "proc_name": "queue-manager",
            "loglevel": "warning",
            "logger_class": _PlainLogger,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application in the worker, after the fork: connections would not survive it."""
        app = create_app(self._settings, Store.connect(self._settings.redis_url))
        # A chunked body that ends too early.
        app.register_error_handler(errors.ParseException, refuse_broken_body)
        gc.collect()
        gc.freeze()  # what exists now lives as long as the process; collections skip it
        return app


class _Worker(ThreadWorker):
    """Answers invalid HTTP with a problem document; gunicorn would send a page of HTML."""

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        status, detail = _refusal(exc)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log.error("Request failed with an internal error.", exc_info=exc)
        try:
            util.write_nonblock(client, raw_answer(status, detail))
        except OSError:  # the client has disconnected
            pass


def _refusal(error: BaseException) -> tuple[HTTPStatus, str]:
    for kind, status, detail in _REFUSALS:
        if isinstance(error, kind):
            return status, detail
    return (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Internal error of the queue manager; its log has the details.",
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
        "The request has more than 100 headers, or a header longer than 8190 bytes.",
    ),
    (
        errors.UnsupportedTransferCoding,
        HTTPStatus.NOT_IMPLEMENTED,
        "This Transfer-Encoding is not supported.",
    ),
    (
        errors.ExpectationFailed,
        HTTPStatus.EXPECTATION_FAILED,
        "The only supported value of Expect is 100-continue.",
    ),
    (
        errors.ParseException,
        HTTPStatus.BAD_REQUEST,
        "The request is not valid HTTP/1.1.",
    ),
)


class _PlainLogger(Logger):
    """Sends gunicorn's log lines to our own log (jobqueue/service/log.py)."""

    def setup(self, cfg: Any) -> None:
        self.error_log.setLevel(logging.WARNING)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True
