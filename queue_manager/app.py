"""Build the Flask application: blueprints, problems, request ids."""

import re
import secrets
import time
from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from jobqueue.service.log import bind_log
from jobqueue.store.client import Store
from queue_manager.files.tail import FollowerLimit
from queue_manager.forecast.wait import read_outlook
from queue_manager.http import problem_answers
from queue_manager.http.json_body import MAX_BODY_BYTES
from queue_manager.requests import access
from queue_manager.requests.services import EXTENSION, Services
from queue_manager.requests.ttl_cache import TTL_S, ttl_cached
from queue_manager.routes import (
    catalogue,
    docs,
    health,
    jobs,
    logs,
    nodes,
    prometheus,
    queue,
    status,
    submit,
)
from queue_manager.settings import QueueManagerSettings
from queue_manager.submission.config_check import Schema
from workflows.render import template_names

_ROUTES = (submit, status, queue, jobs, logs, nodes, catalogue, health, prometheus, docs)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(
    settings: QueueManagerSettings,
    store: Store,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
    cache_ttl_s: float = TTL_S,
) -> Flask:
    """Return the API over `store`; `clock` returns epoch seconds, `pause` takes seconds."""
    app = _make_flask()
    folder, slots = settings.template_folder, settings.max_running_jobs
    app.extensions[EXTENSION] = Services(
        settings,
        store,
        clock,
        FollowerLimit(settings.max_followers),
        pause,
        outlook=ttl_cached(lambda: read_outlook(store, slots, clock()), cache_ttl_s),
        template_names=ttl_cached(lambda: template_names(folder), cache_ttl_s),
        schema=ttl_cached(lambda name: Schema.of_template(folder, name), cache_ttl_s),
    )
    _register(app, settings.trusted_proxies)
    return app


def _make_flask() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    # Answers keep the order of docs/founding-document.md: status and job_id first.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.merge_slashes = False
    return app


def _register(app: Flask, trusted_proxies: int) -> None:
    for module in _ROUTES:
        app.register_blueprint(module.blueprint)
    problem_answers.register(app)
    app.before_request(_begin)
    app.after_request(_finish_headers)
    _trust_proxies(app, trusted_proxies)


def _trust_proxies(app: Flask, count: int) -> None:
    """Believe the last `count` proxies about the client's address, the scheme and our prefix."""
    if count:
        trusting = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0, x_prefix=count)
        app.wsgi_app = trusting  # type: ignore[method-assign]


def _begin() -> None:
    _name_request()  # first, so that a refusal has a request id too
    access.check_access()


def _name_request() -> None:
    """Use the client's X-Request-Id if it is well-formed, else a new one, in logs and problems."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    bind_log(service="queue-manager", request_id=g.request_id)


def _finish_headers(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"  # a log is text, whatever it contains
    response.headers.setdefault("Cache-Control", "no-store")
    return response
