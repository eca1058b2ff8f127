"""This module lists the rooms whose code is mutated, each with its fast unit tests."""

from dataclasses import dataclass
from pathlib import Path

from devtools import ROOT


@dataclass(frozen=True)
class Room:
    """Patterns of the files to mutate, and the test files or folders that must notice."""

    code: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """Return the paths of the code, relative to the repository."""
        found = (path for pattern in self.code for path in sorted(ROOT.glob(pattern)))
        return [path.relative_to(ROOT) for path in found if path.name != "__init__.py"]


_UNIT = "tests/unit"
_DECIDE = f"{_UNIT}/scheduler/decide"
_HISTORY = f"{_UNIT}/scheduler/health/test_node_history.py"
_WIRE = f"{_UNIT}/jobqueue/test_resources.py"
_MONITOR = (f"{_UNIT}/resource_monitor/test_decision.py", f"{_UNIT}/resource_monitor/test_gate.py")

ROOMS = {
    "scheduler/decide": Room(("scheduler/decide/*.py",), (_DECIDE, _HISTORY)),
    "resource_monitor/decision": Room(("resource_monitor/decision.py",), _MONITOR),
    "resource_monitor/gate": Room(("resource_monitor/gate.py",), _MONITOR),
    "jobqueue/phase": Room(("jobqueue/phase.py",), (f"{_UNIT}/jobqueue/test_phase.py",)),
    "jobqueue/job": Room(("jobqueue/job.py",), (f"{_UNIT}/jobqueue/test_job.py",)),
    "jobqueue/eta": Room(("jobqueue/eta.py",), (f"{_UNIT}/jobqueue/test_eta.py",)),
    "jobqueue/resources": Room(("jobqueue/resources.py", "jobqueue/codec/wire.py"), (_WIRE,)),
    "queue_manager/submission": Room(
        ("queue_manager/submission/*.py",),
        (f"{_UNIT}/queue_manager/submission",),
    ),
    "workflows/render": Room(("workflows/render.py",), (f"{_UNIT}/workflows/test_render.py",)),
}
