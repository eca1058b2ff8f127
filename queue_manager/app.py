"""The Flask application: blueprints, problems, request ids."""

import re
import time
import uuid
from collections.abc import Callable

from flask import Flask, Response, g, request

from jobqueue.log import bind_log
from jobqueue.store import Store
from queue_manager import problems
from queue_manager.follow import Places
from queue_manager.json_body import MAX_BODY_BYTES
from queue_manager.routes import catalogue, health, jobs, nodes, queue, run_files, status, submit
from queue_manager.services import EXTENSION, Services
from queue_manager.settings import QueueManagerSettings

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(settings: QueueManagerSettings, store: Store, clock: Callable[[], float] = time.time) -> Flask:
    """The API over `store`; `clock` gives seconds since the epoch."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the contract: status and job_id first
    app.url_map.merge_slashes = False
    app.extensions[EXTENSION] = Services(settings, store, clock, Places(settings.max_followers))
    for module in (submit, status, queue, jobs, run_files, nodes, catalogue, health):
        app.register_blueprint(module.blueprint)
    problems.register(app)
    app.before_request(_name_request)
    app.after_request(_finish_headers)
    return app


def _name_request() -> None:
    """The client's X-Request-Id where it is a sane one, else one of ours; it stands in log lines and in problems."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    bind_log(service="queue-manager", request_id=g.request_id)


def _finish_headers(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"  # a log is text, whatever it holds
    response.headers.setdefault("Cache-Control", "no-store")
    return response
