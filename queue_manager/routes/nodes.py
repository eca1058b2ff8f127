"""GET /nodes: what each node's monitor last said."""

from flask import Blueprint, Response, jsonify

from jobqueue.clock import seconds
from queue_manager.http.query import take
from queue_manager.requests.services import services

blueprint = Blueprint("nodes", __name__)


@blueprint.get("/nodes")
def nodes() -> Response:
    take()
    app = services()
    now = app.clock()
    said = app.store.nodes()
    shown = [
        {"node": node, **what, "age_s": _age_s(what["at"], now)} for node, what in said.items()
    ]
    return jsonify({"nodes": shown})


def _age_s(at: str | None, now: float) -> float | None:
    return None if at is None else round(now - seconds(at), 1)
