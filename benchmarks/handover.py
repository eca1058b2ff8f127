"""Measure the time from the end of one training to the start of the next one's process.

Jobs are waiting and the gate is on. Each job uses every core, so that its own load does not pass
the CPU gate (below 90 %) when it ends. Valkey, queue manager, scheduler (10 s poll, as deployed)
and monitor are the real ones; the jobs are submitted with POST /submit.
"""

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import requests

from benchmarks.result import Result, p99
from devtools.testbed.system import System, running_system, wait_for

JOBS = int(os.environ.get("BENCH_JOBS", "25"))
SECONDS = 2.0
PROBE_S = 0.02


class GateProbe(threading.Thread):
    """The probe asks the monitor, as the scheduler does after an end, until the node is free."""

    def __init__(self, system: System) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{system.monitor_port}/status"
        self.ended_at = 0.0  # of the job that ended last
        self.first_yes: dict[
            float, float
        ] = {}  # end -> when a snapshot over the time since then first passed
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(PROBE_S):
            end = self.ended_at
            if not end or end in self.first_yes:
                continue
            window = max(time.time() - end, 0.001)
            answer = requests.get(
                self._url, params={"window_s": f"{min(window, 10):.3f}"}, timeout=2
            ).json()
            if answer["available"] and end == self.ended_at:
                self.first_yes[end] = time.time() - answer["age_s"]


def run() -> list[Result]:
    """Return median and p99 of the handover, and of its part from the first sample that passes."""
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "CPU_PERCENT": "90",
            "POLL_INTERVAL_S": "10",
            "LEASE_S": "10",
            "MAX_QUEUED_PER_USER": "1000",
        }
        with running_system(Path(folder) / "system", **env) as system:
            probe = GateProbe(system)
            probe.start()
            config = {"seconds": SECONDS, "cores": os.cpu_count()}
            ids = [system.submitted(f"u{number}", config) for number in range(JOBS)]
            _follow(system, probe, ids)
            probe.stopping.set()
            spans = _spans(system, ids)
            after_yes = [
                start - probe.first_yes[end] for end, start in spans if end in probe.first_yes
            ]
    gaps = [start - end for end, start in spans]
    return [
        Result(
            "end of a job to start of the next process, median", statistics.median(gaps), "s", 2.0
        ),
        Result("end of a job to start of the next process, p99", p99(gaps), "s", 4.0),
        Result(
            "of which after the first sample that passes, median",
            statistics.median(after_yes),
            "s",
            0.5,
        ),
        Result("of which after the first sample that passes, p99", p99(after_yes), "s", 0.5),
    ]


def _follow(system: System, probe: GateProbe, ids: Sequence[str]) -> None:
    """Tell the probe of each end as soon as its exit file is there."""
    for number, job_id in enumerate(ids):
        wait_for(
            f"job {number} ends",
            lambda job_id=job_id: _marks(system, job_id, "exit.json"),
            60,
            PROBE_S,
        )
        probe.ended_at = _marks(system, job_id, "exit.json")


def _spans(system: System, ids: Sequence[str]) -> list[tuple[float, float]]:
    """(end of one, start of the next)."""
    ends = [_marks(system, job_id, "exit.json") for job_id in ids]
    starts = [_marks(system, job_id, "started.json") for job_id in ids]
    return list(zip(ends[:-1], starts[1:], strict=True))


def _marks(system: System, job_id: str, mark: str) -> float:
    path = system.folder / "workflows" / f"toy-{job_id.replace('_', '-')}" / mark
    return float(json.loads(path.read_text())["at"]) if path.exists() else 0.0
