"""Measure the scheduler's memory while it runs 2,000 jobs, on a real API server.

The measure is the USS of its process (the memory that would be free without it). 16 very short
trainings run at once; finished workflows are deleted after half a minute, so that the scheduler
remembers as many of them as it ever does.
"""

import os
import statistics
from collections.abc import Callable

import psutil

from benchmarks.cluster.lab import clusters, systems
from benchmarks.result import Result
from devtools.cluster.system import ClusterSystem
from devtools.testbed.system import wait_for

JOBS = int(os.environ.get("BENCH_MEMORY_JOBS", "2000"))
SLOTS = 16
SETTINGS = {"MAX_RUNNING_JOBS": str(SLOTS), "POLL_INTERVAL_S": "1", "WORKFLOW_RETENTION_S": "30"}
_DEADLINE_S = 3600
Sample = tuple[int, float]  # jobs that have finished, USS in MiB


def run() -> list[Result]:
    """Return the memory in the last quarter relative to the second, and the slope from there."""
    with clusters() as plane, systems(plane, *(SLOTS // 2 * [2]), **SETTINGS) as system:
        for number in range(JOBS):
            system.submitted(f"u{number}", {"seconds": 0})
        system.start_one("scheduler")
        samples = _samples(system)
    warm = [sample for sample in samples if sample[0] > JOBS / 4]
    second = [uss for done, uss in warm if done <= JOBS / 2]
    last = [uss for done, uss in warm if done > 3 * JOBS / 4]
    slope, _ = statistics.linear_regression(*zip(*warm, strict=True))
    about = f"the scheduler's memory over {JOBS:,} jobs"
    return [
        Result(
            f"{about}, last quarter against the second",
            statistics.mean(last) / statistics.mean(second),
            "×",
            1.05,
        ),
        Result(f"{about}, slope after the first quarter", slope * 1024, "KiB/job", 1.0),
    ]


def _samples(system: ClusterSystem) -> list[Sample]:
    samples: list[Sample] = []
    process = psutil.Process(system.processes["scheduler"].pid)
    wait_for("all have finished", _sampler(system, process, samples), _DEADLINE_S, every_s=1)
    return samples


def _sampler(
    system: ClusterSystem, process: psutil.Process, samples: list[Sample]
) -> Callable[[], bool]:
    def sample() -> bool:
        done = JOBS - system.store.queue_length() - len(system.store.running_raw())
        samples.append((done, process.memory_full_info().uss / 2**20))
        return done == JOBS

    return sample
