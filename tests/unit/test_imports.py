"""The import table: which package may import which, and which files may import a library."""

import ast
from collections import Counter
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

#: package, or folder of a package -> what of ours it may import besides itself; the longest row
#: that fits a file is its row
MAY_IMPORT = {
    "jobqueue": set(),
    "workflows": {"jobqueue"},
    "queue_manager": {"jobqueue", "workflows"},
    "scheduler": {"jobqueue", "workflows"},
    # Pure: it decides on data alone, without a store, a lock, an engine, a clock or an alert.
    "scheduler/decide": {
        "jobqueue.job",
        "jobqueue.phase",
        "jobqueue.reason",
        "jobqueue.resources",
        "jobqueue.eta",
        "jobqueue.clock",
        "scheduler.engines.contract",
    },
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
    "redis": {"jobqueue/store/connection.py", "jobqueue/store/redis_errors.py"},
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
#: With more code files than this (`__init__.py` aside) `ls` no longer explains a folder.
MOST_FILES = 12


def row_of(name: str) -> str:
    """Return the row of the import table that a file belongs to."""
    return max((row for row in MAY_IMPORT if name.startswith(f"{row}/")), key=len)


def imported_packages(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports(path)}


def test_every_package_has_files_and_a_row() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == OURS
    assert set(MAY_IMPORT) >= OURS
    assert {row for row in MAY_IMPORT if not list((ROOT / row).glob("*.py"))} == set()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("scheduler/decide/nominate.py", "scheduler/decide"),
        ("scheduler/engines/contract.py", "scheduler"),
        ("scheduler/decided.py", "scheduler"),
    ],
)
def test_the_longest_row_that_fits_is_the_row_of_a_file(name: str, row: str) -> None:
    assert row_of(name) == row


def test_the_product_imports_no_tests_and_no_tools() -> None:
    outside = {"tests", "devtools", "benchmarks"}
    assert [path for path in FILES if imported_packages(path) & outside] == []


def test_tools_and_benchmarks_import_no_tests() -> None:
    tools = [
        path for folder in ("devtools", "benchmarks") for path in (ROOT / folder).rglob("*.py")
    ]
    assert tools
    assert [path for path in tools if "tests" in imported_packages(path)] == []


def test_no_folder_has_more_code_files_than_a_reader_can_survey() -> None:
    code = (path for path in FILES if path.name != "__init__.py")
    sizes = Counter(str(path.parent.relative_to(ROOT)) for path in code)
    larger = {folder: size for folder, size in sizes.items() if size > MOST_FILES}
    assert larger == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_to_the_table(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    row = row_of(name)
    allowed = MAY_IMPORT[row] | {row.replace("/", ".")}
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


def rooms(package: str) -> dict[str, set[str]]:
    """Return which rooms of a package (its folders and the files beside them) import which."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / package).rglob("*.py"):
        room = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        found.setdefault(room, set()).update(
            module.split(".")[1] for module in imports(path) if module.startswith(f"{package}.")
        )
    return {room: {other for other in found if other in found[room]} - {room} for room in found}


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    """Return all rooms that a room imports, directly or through others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for room in arrows[waiting.pop()] - seen:
            seen.add(room)
            waiting.append(room)
    return seen


@pytest.mark.parametrize("package", sorted(OURS))
def test_rooms_of_a_package_import_each_other_in_one_direction(package: str) -> None:
    arrows = rooms(package)
    in_cycles = {(a, b) for a in arrows for b in arrows[a] if a in reached(arrows, b)}
    assert not in_cycles, f"rooms of {package} import each other in a circle"
