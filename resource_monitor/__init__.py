"""The resource monitor: one per node, says in `GET /status` whether the node can take a training now, and why not.

sampler_process.py (reads NVML and the host twice a second) → pipe → sampler.py → decision.py (pure) → app.py.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from resource_monitor.app import Readings
    from resource_monitor.settings import Settings


def create_app(sampler: "Readings", settings: "Settings") -> "Flask":
    """The monitor's Flask application, answering from what `sampler` last read."""
    # Imported here because the sampler process imports this package too, and has no use for 20 MB of Flask.
    from resource_monitor.app import build

    return build(sampler, settings)
