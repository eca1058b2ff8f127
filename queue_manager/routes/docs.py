"""GET /openapi.json and /docs: the description of this API, and a page that shows it.

The page loads nothing from other hosts.
"""

from functools import cache
from http import HTTPStatus
from importlib import resources

from flask import Blueprint, Response, jsonify, request

from queue_manager.http.problems import Problem, short
from queue_manager.http.query import take
from queue_manager.openapi.document import openapi_document
from queue_manager.openapi.version import version

blueprint = Blueprint("docs", __name__)

#: Paths are relative to the page, so that they work behind a proxy's path prefix. There is no
#: inline script, because the policy below forbids it.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>gpuq API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/swagger.svg">
</head>
<body>
<div id="swagger-ui">OpenAPI description: <a href="openapi.json">openapi.json</a></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
#: Without validatorUrl the page would send the description to a validator on swagger.io.
_START = (
    'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", '
    "validatorUrl: null, deepLinking: true});\n"
)
#: The browser enforces that the page loads nothing else, whatever a later Swagger UI may do.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; frame-ancestors 'none'"
)

#: name -> its folder in flask-openapi3-swagger, its content type
_ASSETS = {
    "swagger-ui.css": ("css", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("js", "text/javascript; charset=utf-8"),
    "swagger.svg": ("images", "image/svg+xml"),
}


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document."""
    take()
    return jsonify(openapi_document(version(), request.script_root))


@blueprint.get("/docs")
def page() -> Response:
    """Return the page that shows the OpenAPI document."""
    take()
    headers = {"Content-Security-Policy": _POLICY}
    return Response(_PAGE, content_type="text/html; charset=utf-8", headers=headers)


@blueprint.get("/docs/<name>")
def asset(name: str) -> Response:
    """Return a file that the page loads."""
    take()
    if name == "start.js":
        return Response(_START, content_type="text/javascript; charset=utf-8")
    if name not in _ASSETS:
        raise Problem(HTTPStatus.NOT_FOUND, f"The page at /docs has no {short(name)}.")
    folder, content_type = _ASSETS[name]
    headers = {"Cache-Control": "private, max-age=3600"}
    return Response(_asset(folder, name), content_type=content_type, headers=headers)


@cache
def _asset(folder: str, name: str) -> bytes:
    path = resources.files("flask_openapi3_swagger") / "templates" / "swagger" / folder / name
    return path.read_bytes()
