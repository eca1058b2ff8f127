"""The resource monitor reports in `GET /status` whether its node can take a training, and why not.

One runs on each node. A sample's way: sampler_process.py (reads NVML and the host twice a second) →
pipe → sampler.py → decision.py (pure) → app.py.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from resource_monitor.app import Readings
    from resource_monitor.settings import Settings


def create_app(sampler: "Readings", settings: "Settings") -> "Flask":
    """Return the monitor's Flask application, which answers from what `sampler` last read."""
    # Imported here because the sampler process imports this package and needs no 20 MB of Flask.
    from resource_monitor.app import build

    return build(sampler, settings)
