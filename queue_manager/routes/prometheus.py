"""GET /metrics: the queue's metrics for Prometheus; a job's metrics are at /jobs/<id>/metrics."""

from flask import Blueprint, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from queue_manager.http.query import take
from queue_manager.requests.services import services
from queue_manager.views.prometheus import exposition

blueprint = Blueprint("prometheus", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Return Prometheus' text format."""
    take()
    app = services()
    return Response(exposition(app.store, app.clock()), content_type=CONTENT_TYPE_PLAIN_0_0_4)
