"""What Prometheus is told: read from Redis when it asks, so that nothing is counted in a process that may restart."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from jobqueue.clock import seconds
from jobqueue.phase import Phase
from jobqueue.resources import Gpu, InvalidSnapshot, NodeSnapshot
from jobqueue.store.client import Store
from queue_manager.forecast.scheduler_health import read_heartbeat

#: Requeued jobs stand at the front with a new waiting time, so the one that waits longest may stand behind them.
_HEADS = 100
_MIB = 1024 * 1024


def exposition(store: Store, now: float) -> bytes:
    """Prometheus' text format at `now` (s since the epoch). Raises StoreUnavailable. No job or user is a label."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueueCollector(store, now))
    return generate_latest(registry)


class QueueCollector(Collector):
    """All that is shown, in one pass over the store."""

    def __init__(self, store: Store, now: float) -> None:
        self._store, self._now = store, now

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield from self._scheduler()
        yield _gauge(
            "gpuq_quarantine_length",
            "Entries that could not be read.",
            self._store.quarantine_length(),
        )
        yield from self._nodes()

    def _jobs(self) -> Iterator[Metric]:
        running, length = self._store.running(), self._store.queue_length()
        counts = {
            phase: sum(job.phase is phase for job in running)
            for phase in (Phase.ADMITTED, Phase.RUNNING)
        }
        jobs = GaugeMetricFamily(
            "gpuq_jobs", "Jobs that are not finished, by status.", labels=["status"]
        )
        for phase, count in {Phase.QUEUED: length, **counts}.items():
            jobs.add_metric([phase.value], count)
        yield jobs
        finished = CounterMetricFamily(
            "gpuq_jobs_finished", "Jobs that ended, by status, ever.", labels=["status"]
        )
        for phase, count in self._store.finished_counts().items():
            finished.add_metric([phase.value], count)
        yield finished
        yield _gauge("gpuq_queue_length", "Jobs in the queue.", length)
        heads = self._store.jobs(self._store.order(0, _HEADS))
        oldest_s = max((self._now - job.queued_at for job in heads), default=0.0)
        yield _gauge(
            "gpuq_oldest_queued_age_seconds",
            "How long the front of the queue has waited.",
            max(oldest_s, 0),
        )

    def _scheduler(self) -> Iterator[Metric]:
        """Nothing about the age of a heartbeat that was never written: absent() tells that apart."""
        heartbeat = read_heartbeat(self._store) or {}
        age_s = self._age_s(heartbeat)
        if age_s is not None:
            yield _gauge(
                "gpuq_scheduler_heartbeat_age_seconds", "Since the scheduler last reported.", age_s
            )
        halted = bool(heartbeat.get("halted"))
        yield _gauge(
            "gpuq_scheduler_halted",
            "1 while the scheduler admits nothing until somebody acts.",
            halted,
        )

    def _nodes(self) -> Iterator[Metric]:
        available = GaugeMetricFamily(
            "gpuq_node_available", "1 where the gate lets a job start.", labels=["node"]
        )
        ages = GaugeMetricFamily(
            "gpuq_node_report_age_seconds", "Since the node was last asked.", labels=["node"]
        )
        gpus = {
            name: GaugeMetricFamily(name, text, labels=["node", "gpu"])
            for name, text in _GPU_HELP.items()
        }
        for node, said in self._store.nodes().items():
            snapshot = _snapshot(said)
            available.add_metric([node], snapshot is not None and snapshot.available)
            if (age_s := self._age_s(said)) is not None:
                ages.add_metric([node], age_s)
            for gpu in () if snapshot is None else snapshot.gpus:
                for name, value in _gpu_numbers(gpu).items():
                    if value is not None:  # what the card does not tell is left out, not 0
                        gpus[name].add_metric([node, str(gpu.index)], value)
        yield from (available, ages, *gpus.values())

    def _age_s(self, said: Mapping[str, Any]) -> float | None:
        try:
            return max(self._now - seconds(str(said["at"])), 0.0)
        except (KeyError, ValueError):
            return None


_GPU_HELP = {
    "gpuq_gpu_available": "1 where the gate lets a job have this GPU.",
    "gpuq_gpu_utilization_percent": "How busy the GPU is.",
    "gpuq_gpu_memory_used_bytes": "GPU memory in use.",
    "gpuq_gpu_memory_free_bytes": "GPU memory that is free.",
    "gpuq_gpu_power_watts": "What the GPU draws.",
    "gpuq_gpu_temperature_celsius": "How warm the GPU is.",
}


def _gpu_numbers(gpu: Gpu) -> dict[str, float | None]:
    used, free = gpu.memory_used_mb, gpu.memory_free_mb
    return {
        "gpuq_gpu_available": gpu.available,
        "gpuq_gpu_utilization_percent": gpu.utilization_percent,
        "gpuq_gpu_memory_used_bytes": None if used is None else used * _MIB,
        "gpuq_gpu_memory_free_bytes": None if free is None else free * _MIB,
        "gpuq_gpu_power_watts": gpu.power_w,
        "gpuq_gpu_temperature_celsius": gpu.temperature_c,
    }


def _snapshot(said: Mapping[str, Any]) -> NodeSnapshot | None:
    try:
        return NodeSnapshot.decode(json.dumps(said["snapshot"]))
    except (KeyError, InvalidSnapshot):  # the monitor was away, or is of another version
        return None


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
