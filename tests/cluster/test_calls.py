"""How often the API server is asked: once an idle cycle, whatever waits and runs, and six times for
a job.
"""

import json

from devtools.cluster.plane import Plane
from devtools.cluster.system import ClusterSystem

NODES = (2,)
SETTINGS = {"MAX_RUNNING_JOBS": "1"}
CYCLES = 6


def test_an_idle_cycle(system: ClusterSystem) -> None:
    running = system.submitted("ann", {"seconds": 600})
    system.wait_status(running, "running")
    for number in range(20):
        system.submitted(f"user{number}")
    system.wait_cycles(2)  # what a start costs is over
    before = len(system.api_proxy.calls)
    system.wait_cycles(CYCLES)
    calls = [call for call in system.api_proxy.calls[before:] if "watch=" not in call]
    assert calls
    assert len(calls) <= CYCLES + 1, calls  # one may be under way at either end
    system.cancel(running)
    for job in system.store.order(0, 100):
        system.cancel(job)
    system.wait_status(running, "cancelled")


def test_a_started_job(system: ClusterSystem, cluster: Plane) -> None:
    """Both by what came through the proxy, and by the API server's own audit log."""
    system.wait_cycles(2)
    before = len(system.api_proxy.calls)
    job_id = system.submitted("ben", {"seconds": 0.5})
    system.wait_status(job_id, "succeeded")
    system.wait_cycles(2)
    calls = [call for call in system.api_proxy.calls[before:] if "/workflows?" not in call]
    assert len(calls) <= 6, calls
    account = f"system:serviceaccount:{system.namespace}:scheduler"
    entries = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    own = [
        entry
        for entry in entries
        if entry["user"]["username"] == account and job_id[4:] in entry["requestURI"]
    ]
    assert own
    assert all(entry["responseStatus"]["code"] < 300 for entry in own)
