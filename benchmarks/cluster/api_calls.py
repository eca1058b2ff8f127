"""Count the scheduler's calls to the API server in its audit log: per idle cycle, and per job.

There are 0, 100 or 1,000 queued jobs and one running training; then ten of the queued jobs are
started and end.
"""

import json
import os

from benchmarks.cluster.lab import clusters, systems
from benchmarks.result import Result
from devtools.cluster.api import Object
from devtools.cluster.plane import Plane
from devtools.cluster.system import ClusterSystem
from devtools.testbed.system import wait_for
from jobqueue.clock import seconds
from jobqueue.phase import Phase

QUEUED = tuple(int(text) for text in os.environ.get("BENCH_LENGTHS", "0,100,1000").split(","))
CYCLES = (
    9  # 90 s at the deployed poll: what is asked only now and then comes up as often as it does
)
JOBS = 10  # started at each length of the queue


def run() -> list[Result]:
    """Return the mean of an idle cycle and the maximum of a job, for each length of the queue."""
    results = []
    with clusters() as plane:
        for queued in QUEUED:
            results += _calls(plane, queued)
    return results


def _calls(plane: Plane, queued: int) -> list[Result]:
    with systems(plane, 1) as system:
        log = Audit(plane, system)
        first = system.submitted("first", {"seconds": 600})
        system.start_one("scheduler")
        system.wait_status(first, "running")
        waiting = [system.submitted(f"u{number}", {"seconds": 0}) for number in range(queued)]
        idle = _idle(system, log)
        started = waiting[:JOBS] or [
            system.submitted(f"u{number}", {"seconds": 0}) for number in range(JOBS)
        ]
        system.cancel(first)
        for job_id in started:
            wait_for(
                f"{job_id} succeeds",
                lambda job_id=job_id: _phase(system, job_id) is Phase.SUCCEEDED,
                60,
            )
        most = max(log.about(system.workflow_name(job_id)) for job_id in started)
    return [
        Result(f"API calls of an idle cycle, {queued:,} queued", idle, "calls", 1),
        Result(
            f"API calls of a started job, {queued:,} queued, most of {len(started)}",
            most,
            "calls",
            6,
        ),
    ]


def _idle(system: ClusterSystem, log: "Audit") -> float:
    """Return the calls per cycle, between the ends of two cycles that no submission has woken."""
    system.wait_cycles(3)
    beats = [wait_for("a cycle", lambda: _newer(system, {}))]
    for _ in range(CYCLES):
        beats.append(wait_for("another cycle", lambda: _newer(system, beats[-1])))
    first, last = seconds(beats[0]["at"]), seconds(beats[-1]["at"])
    calls = [
        entry
        for entry in log.entries()
        if first < seconds(entry["requestReceivedTimestamp"]) <= last
    ]
    return len(calls) / CYCLES


def _newer(system: ClusterSystem, known: Object) -> Object | None:
    beat = system.store.heartbeat()
    return beat if beat != known else None


def _phase(system: ClusterSystem, job_id: str) -> Phase:
    return system.store.job(job_id).phase


class Audit:
    """The audit has the API server's notes about a scheduler; a watch is noted when it ends."""

    def __init__(self, plane: Plane, system: ClusterSystem) -> None:
        self._path = plane.audit_log
        self._account = f"system:serviceaccount:{system.namespace}:scheduler"

    def entries(self) -> list[Object]:
        lines = self._path.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if self._account in line]
        return [entry for entry in found if entry["user"]["username"] == self._account]

    def about(self, name: str) -> int:
        """Return the number of calls about a Workflow, its ConfigMap, its pod and its log.

        They share its name.
        """
        return sum(
            entry.get("objectRef", {}).get("name") == name or name in entry["requestURI"]
            for entry in self.entries()
        )
