"""The import table: who may import whom, and which file alone may import an outside library."""

import ast
from pathlib import Path

import pytest

from devtools import ROOT

OURS = {
    "jobqueue",
    "queue_manager",
    "scheduler",
    "resource_monitor",
    "proto_gcn",
    "gpuq",
    "workflows",
}

#: package -> what of ours it may import besides itself
MAY_IMPORT = {
    "jobqueue": set(),
    "workflows": {"jobqueue"},
    "queue_manager": {"jobqueue", "workflows"},
    "scheduler": {"jobqueue", "workflows"},
    "resource_monitor": {
        "jobqueue.resources",
        "jobqueue.service.log",
        "jobqueue.service.settings",
        "jobqueue.service.listening",
    },
    "proto_gcn": set(),
    "gpuq": {"jobqueue"},
}

#: library -> the files that may import it (a folder ends with /)
FENCES = {
    "redis": {"jobqueue/store/client.py"},
    "structlog": {"jobqueue/service/log.py"},
    "pydantic_settings": {
        "jobqueue/service/settings.py",
        "queue_manager/settings.py",
        "scheduler/settings.py",
        "resource_monitor/settings.py",
    },
    "flask": {"queue_manager/", "resource_monitor/"},
    "kubernetes": {"scheduler/engines/argo/connection.py"},
    "requests": {"scheduler/monitors.py", "gpuq/remote/client.py"},
    "apprise": {"scheduler/health/alerts.py"},
    "prometheus_client": {"queue_manager/", "resource_monitor/metrics.py"},
    "pynvml": {"resource_monitor/readings/nvml.py", "proto_gcn/engine/reporting/telemetry.py"},
    "psutil": {"resource_monitor/readings/host.py", "proto_gcn/engine/reporting/telemetry.py"},
    "torch": {"proto_gcn/"},
    "matplotlib": {"proto_gcn/report/"},
    "jinja2": {"proto_gcn/report/"},
    "yaml": {
        "workflows/",
        "scheduler/engines/local/engine.py",
        "queue_manager/",
        "proto_gcn/",
        "gpuq/",
    },
}


def imports(path: Path) -> set[str]:
    """The modules that a file imports, as written."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))


def test_there_are_files() -> None:
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_to_the_table(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    package = name.partition("/")[0]
    allowed = MAY_IMPORT[package] | {package}
    for module in imports(path):
        top = module.partition(".")[0]
        if top in OURS:
            fits = any(
                module == ours or module.startswith(f"{ours}.") or ours.startswith(f"{module}.")
                for ours in allowed
            )
            assert fits, f"{name} must not import {module}"
        fence = FENCES.get(top)
        inside = fence is None or any(
            name == place or (place.endswith("/") and name.startswith(place)) for place in fence
        )
        assert inside, f"{name} must not import {top}: only {sorted(fence or ())} may"
