"""The queue's metrics for Prometheus.

They are read from Redis at each scrape: a counter inside a process would restart with it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobqueue.clock import seconds
from jobqueue.phase import Phase
from jobqueue.reason import REASONS_WRITTEN
from jobqueue.resources import Gpu, InvalidSnapshot, NodeSnapshot
from jobqueue.store.client import Store
from queue_manager.forecast.scheduler_health import read_heartbeat

_BYTES_PER_MIB = 1024 * 1024


def exposition(store: Store, now: float) -> bytes:
    """Return Prometheus' text format at `now` (epoch seconds). Raises StoreUnavailable.

    No label names a job or a user.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueueCollector(store, now))
    return generate_latest(registry)


class QueueCollector(Collector):
    """Collects all metrics in one pass over the store."""

    def __init__(self, store: Store, now: float) -> None:
        self._store = store
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        yield from self._jobs()
        yield self._oldest()
        yield from self._scheduler()
        length = self._store.quarantine_length()
        yield _gauge("gpuq_quarantine_length", "Unreadable entries in quarantine.", length)
        yield from self._nodes()

    def _jobs(self) -> Iterator[Metric]:
        running, length = self._store.running(), self._store.queue_length()
        jobs = GaugeMetricFamily("gpuq_jobs", "Unfinished jobs by status.", labels=["status"])
        jobs.add_metric([Phase.QUEUED.value], length)
        for phase in (Phase.ADMITTED, Phase.RUNNING):
            jobs.add_metric([phase.value], sum(job.phase is phase for job in running))
        yield jobs
        finished = CounterMetricFamily(
            "gpuq_jobs_finished", "Finished jobs by status, since the beginning.", labels=["status"]
        )
        for phase, count in self._store.finished_counts().items():
            finished.add_metric([phase.value], count)
        yield finished
        yield _gauge("gpuq_queue_length", "Jobs in the queue.", length)

    def _oldest(self) -> Metric:
        """Return the longest wait among the first jobs.

        A requeued job is at the front with a new waiting time, so the first job may not be the
        oldest.
        """
        heads = self._store.jobs(self._store.order(0, REASONS_WRITTEN))
        oldest_s = max((self._now - job.queued_at for job in heads), default=0.0)
        text = "How long the oldest job at the front of the queue has waited."
        return _gauge("gpuq_oldest_queued_age_seconds", text, max(oldest_s, 0))

    def _scheduler(self) -> Iterator[Metric]:
        """Yield the scheduler's state; a missing heartbeat has no age, so use absent() for it."""
        heartbeat = read_heartbeat(self._store) or {}
        age_s = self._age_s(heartbeat)
        if age_s is not None:
            text = "Seconds since the scheduler last reported."
            yield _gauge("gpuq_scheduler_heartbeat_age_seconds", text, age_s)
        text = "1 while the scheduler is halted and admits no job."
        yield _gauge("gpuq_scheduler_halted", text, bool(heartbeat.get("halted")))

    def _nodes(self) -> Iterator[Metric]:
        available = GaugeMetricFamily(
            "gpuq_node_available", "1 if the gate allows a job to start there.", labels=["node"]
        )
        ages = GaugeMetricFamily(
            "gpuq_node_report_age_seconds", "Seconds since the node was asked.", labels=["node"]
        )
        snapshots = {}
        for node, report in self._store.nodes().items():
            snapshots[node] = snapshot = _snapshot(report)
            available.add_metric([node], snapshot is not None and snapshot.available)
            if (age_s := self._age_s(report)) is not None:
                ages.add_metric([node], age_s)
        yield from (available, ages, *_gpu_metrics(snapshots))

    def _age_s(self, report: Mapping[str, Any]) -> float | None:
        try:
            return max(self._now - seconds(str(report["at"])), 0.0)
        except (KeyError, ValueError):
            return None


_GPU_HELP = {
    "gpuq_gpu_available": "1 if the gate allows a job to use this GPU.",
    "gpuq_gpu_utilization_percent": "GPU utilisation.",
    "gpuq_gpu_memory_used_bytes": "GPU memory in use.",
    "gpuq_gpu_memory_free_bytes": "Free GPU memory.",
    "gpuq_gpu_power_watts": "GPU power draw.",
    "gpuq_gpu_temperature_celsius": "GPU temperature.",
}


def _gpu_metrics(snapshots: Mapping[str, NodeSnapshot | None]) -> list[Metric]:
    """Return one family per quantity; what a GPU does not report is left out, not 0."""
    families = {
        name: GaugeMetricFamily(name, text, labels=["node", "gpu"])
        for name, text in _GPU_HELP.items()
    }
    for node, snapshot in snapshots.items():
        for gpu in () if snapshot is None else snapshot.gpus:
            for name, value in _gpu_numbers(gpu).items():
                if value is not None:
                    families[name].add_metric([node, str(gpu.index)], value)
    return list(families.values())


def _gpu_numbers(gpu: Gpu) -> dict[str, float | None]:
    used, free = gpu.memory_used_mb, gpu.memory_free_mb
    return {
        "gpuq_gpu_available": gpu.available,
        "gpuq_gpu_utilization_percent": gpu.utilization_percent,
        "gpuq_gpu_memory_used_bytes": None if used is None else used * _BYTES_PER_MIB,
        "gpuq_gpu_memory_free_bytes": None if free is None else free * _BYTES_PER_MIB,
        "gpuq_gpu_power_watts": gpu.power_w,
        "gpuq_gpu_temperature_celsius": gpu.temperature_c,
    }


def _snapshot(report: Mapping[str, Any]) -> NodeSnapshot | None:
    try:
        return NodeSnapshot.decode(json.dumps(report["snapshot"]))
    except (KeyError, InvalidSnapshot):  # the monitor did not answer, or has another version
        return None


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
