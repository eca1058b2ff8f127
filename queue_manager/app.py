"""The Flask application: blueprints, problems, request ids."""

import re
import secrets
import time
from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from jobqueue.service.log import bind_log
from jobqueue.store.client import Store
from queue_manager.files.tail import Places
from queue_manager.forecast.wait import read_outlook
from queue_manager.http import problems
from queue_manager.http.json_body import MAX_BODY_BYTES
from queue_manager.requests import access
from queue_manager.requests.services import EXTENSION, Services
from queue_manager.requests.ttl_cache import MOST_AGE_S, recent
from queue_manager.routes import (
    catalogue,
    docs,
    health,
    jobs,
    nodes,
    prometheus,
    queue,
    status,
    submit,
)
from queue_manager.routes import logs as run_files
from queue_manager.settings import QueueManagerSettings
from queue_manager.submission.config_check import Schema
from workflows.render import template_names

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def create_app(
    settings: QueueManagerSettings,
    store: Store,
    clock: Callable[[], float] = time.time,
    pause: Callable[[float], None] = time.sleep,
    most_age_s: float = MOST_AGE_S,
) -> Flask:
    """The API over `store`; `clock` gives seconds since the epoch, `pause` takes seconds, `most_age_s`: recent.py."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the order of the contract: status and job_id first
    app.url_map.merge_slashes = False
    folder = settings.template_folder
    app.extensions[EXTENSION] = Services(
        settings,
        store,
        clock,
        Places(settings.max_followers),
        pause,
        outlook=recent(lambda: read_outlook(store, settings.max_running_jobs, clock()), most_age_s),
        template_names=recent(lambda: template_names(folder), most_age_s),
        schema=recent(lambda name: Schema.of_template(folder, name), most_age_s),
    )
    for module in (
        submit,
        status,
        queue,
        jobs,
        run_files,
        nodes,
        catalogue,
        health,
        prometheus,
        docs,
    ):
        app.register_blueprint(module.blueprint)
    problems.register(app)
    app.before_request(_begin)
    app.after_request(_finish_headers)
    _trust_proxies(app, settings.trusted_proxies)
    return app


def _trust_proxies(app: Flask, count: int) -> None:
    """Believe the last `count` proxies who asked, over which scheme, and below which path prefix we are."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0, x_prefix=count)  # type: ignore[method-assign]


def _begin() -> None:
    _name_request()  # first: a refusal names its request
    access.check_access()


def _name_request() -> None:
    """The client's X-Request-Id where it is a sane one, else one of ours; it stands in log lines and in problems."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    bind_log(service="queue-manager", request_id=g.request_id)


def _finish_headers(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"  # a log is text, whatever it holds
    response.headers.setdefault("Cache-Control", "no-store")
    return response
