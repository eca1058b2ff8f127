"""Measure the time from the end of a Workflow to the next Workflow, on a real API server.

Jobs are waiting and the gate is on. There is one node with one GPU, and a poll of 10 s, as
deployed. A separate watch of the benchmark notes both moments. The monitor is scripted like the
real one: busy while a workflow runs, free from the second sample after its end, with two samples
per second.
"""

import os
import random
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.cluster.lab import Witness, clusters, systems
from benchmarks.result import Result, p99
from devtools.cluster.plane import Plane
from devtools.cluster.proxy import Fault
from devtools.cluster.system import ClusterSystem
from devtools.testbed.system import wait_for

JOBS = int(os.environ.get("BENCH_WORKFLOWS", "121"))
JOBS_WITHOUT_WATCH = int(os.environ.get("BENCH_WORKFLOWS_WITHOUT_WATCH", "26"))
SAMPLE_S = 0.5
_ALWAYS = 10**9
#: (end of one, first sample that passes after it, create of the next), s since the epoch
Handover = tuple[float, float, float]


class Gate(Witness):
    """This witness also answers for the node's monitor."""

    def __init__(self, system: ClusterSystem) -> None:
        self._busy, [self._node] = system.monitors.busy, system.nodes
        self.passed: dict[
            str, float
        ] = {}  #: Workflow that ended -> when the monitor first said yes afterwards
        super().__init__(system)

    def on_made(self, name: str) -> None:
        self._busy[self._node] = (0,)

    def on_end(self, name: str) -> None:
        threading.Timer(SAMPLE_S + random.uniform(0, SAMPLE_S), self._open, (name,)).start()

    def _open(self, name: str) -> None:
        self.passed[name] = time.time()
        self._busy.pop(self._node, None)

    def handovers(self) -> list[Handover]:
        ends = sorted((at, name) for name, at in self.ended.items())
        made = sorted(self.made.values())[1:]
        return [
            (end, self.passed[name], start)
            for (end, name), start in zip(ends[:-1], made, strict=True)
        ]


def run() -> list[Result]:
    """Return median and p99 of the handover and of its part from the first sample that passes.

    The longest handover without a watch is returned too. That scheduler keeps running beside the
    other one: it does almost nothing.
    """
    with clusters() as plane, ThreadPoolExecutor() as pool:
        without_watch = pool.submit(_handovers, plane, JOBS_WITHOUT_WATCH, is_cut=True)
        watched = _handovers(plane, JOBS, is_cut=False)
        cut = without_watch.result()
    gaps = [start - end for end, _, start in watched]
    after_yes = [start - passed for _, passed, start in watched]
    name, without = "end of a Workflow to the next Workflow", "the same with the watch cut off"
    return [
        Result(f"{name}, median", statistics.median(gaps), "s", 2.0),
        Result(f"{name}, p99", p99(gaps), "s", 4.0),
        Result(
            "of which after the first sample that passes, median (Argo)",
            statistics.median(after_yes),
            "s",
            0.5,
        ),
        Result("of which after the first sample that passes, p99 (Argo)", p99(after_yes), "s", 0.5),
        Result(
            f"{without}, median", statistics.median(start - end for end, _, start in cut), "s", 11.0
        ),
        Result(f"{without}, longest", max(start - end for end, _, start in cut), "s", 11.0),
    ]


def _handovers(plane: Plane, jobs: int, *, is_cut: bool) -> list[Handover]:
    with systems(plane, 1) as system:
        if is_cut:
            rule = system.api_proxy.fails(Fault.RESET, "[?&]watch=1", _ALWAYS)
        gate = Gate(system)
        for number in range(jobs):
            system.submitted(f"u{number}", {"seconds": random.random()})
        system.start_one("scheduler")
        wait_for("all have ended", lambda: len(gate.passed) == jobs, jobs * 30)
        assert not is_cut or rule.hits
        return gate.handovers()
