"""GET /nodes: the last report of each node's monitor."""

from flask import Blueprint, Response, jsonify

from jobqueue.clock import seconds
from queue_manager.http.query import take
from queue_manager.requests.services import services

blueprint = Blueprint("nodes", __name__)


@blueprint.get("/nodes")
def nodes() -> Response:
    """List the nodes with their last snapshot and its age in seconds."""
    take()
    app = services()
    now = app.clock()
    shown = [
        {"node": node, **report, "age_s": _age_s(report["at"], now)}
        for node, report in app.store.nodes().items()
    ]
    return jsonify({"nodes": shown})


def _age_s(at: str | None, now: float) -> float | None:
    return None if at is None else round(now - seconds(at), 1)
