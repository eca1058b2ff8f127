"""GET /configs and /workflows: the names that a submission may use."""

from typing import Any

from flask import Blueprint, Response, jsonify

from queue_manager.files.disk import config_names
from queue_manager.http.query import take
from queue_manager.requests.services import services
from queue_manager.settings import QueueManagerSettings
from queue_manager.submission.config_check import SCHEMA_SUFFIX
from workflows.render import template_names

blueprint = Blueprint("catalogue", __name__)


@blueprint.get("/configs")
def configs() -> Response:
    """List the config files."""
    take()
    names = config_names(services().settings.config_root)
    return jsonify({"configs": [{"name": name} for name in names]})


@blueprint.get("/workflows")
def workflows() -> Response:
    """List the templates."""
    take()
    settings = services().settings
    return jsonify(
        workflows=[_shown(name, settings) for name in template_names(settings.template_folder)]
    )


def _shown(name: str, settings: QueueManagerSettings) -> dict[str, Any]:
    """Return what is shown of a template.

    `is_default` marks the one for submissions that name none; `checks_config` marks those with a
    schema beside them.
    """
    return {
        "name": name,
        "is_default": name == settings.default_workflow,
        "checks_config": (settings.template_folder / f"{name}{SCHEMA_SUFFIX}").is_file(),
    }
