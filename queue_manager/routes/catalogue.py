"""GET /configs and /workflows: the names that a submission may use."""

from flask import Blueprint, Response, jsonify

from queue_manager.files.disk import config_names
from queue_manager.http.query import take
from queue_manager.requests.services import services
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
    """List the templates.

    `is_default` marks the template for submissions that name none; `checks_config` marks those with
    a schema beside them.
    """
    take()
    settings = services().settings
    folder = settings.template_folder
    shown = [
        {
            "name": name,
            "is_default": name == settings.default_workflow,
            "checks_config": (folder / f"{name}{SCHEMA_SUFFIX}").is_file(),
        }
        for name in template_names(folder)
    ]
    return jsonify({"workflows": shown})
