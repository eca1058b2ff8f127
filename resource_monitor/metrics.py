"""`GET /metrics`: the snapshot in Prometheus' words (the only file here that imports prometheus_client).

Base units (bytes, seconds, ratios from 0 to 1); a number that is unknown is left out, never 0. No label names a person
or a job: series live longer than both.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from jobqueue.resources import Gpu, NodeSnapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
MIB = 2**20

#: name -> what it says, from what of a GPU, times what
_OF_A_GPU: dict[str, tuple[str, Callable[[Gpu], float | None], float]] = {
    "available": ("1 if this GPU passes the gate", lambda gpu: gpu.available, 1),
    "utilization_ratio": (
        "Share of time with work on it, as last read",
        lambda gpu: gpu.utilization_percent,
        0.01,
    ),
    "memory_used_bytes": ("Memory in use", lambda gpu: gpu.memory_used_mb, MIB),
    "memory_free_bytes": ("Memory that is free", lambda gpu: gpu.memory_free_mb, MIB),
    "memory_total_bytes": ("Memory that it has", lambda gpu: gpu.memory_total_mb, MIB),
    "power_watts": ("Power that it draws", lambda gpu: gpu.power_w, 1),
    "temperature_celsius": ("Its temperature", lambda gpu: gpu.temperature_c, 1),
    "processes": ("Compute processes on it", lambda gpu: gpu.process_count, 1),
}
_OF_THE_NODE: dict[str, tuple[str, Callable[[NodeSnapshot], float | None], float]] = {
    "available": ("1 if this node can take a training now", lambda node: node.available, 1),
    "sample_age_seconds": ("Age of the last reading", lambda node: node.age_s, 1),
    "cpu_usage_ratio": (
        "Use of all cores, as last read",
        lambda node: node.cpu.usage_percent,
        0.01,
    ),
    "memory_used_bytes": (
        "Main memory that is not available",
        lambda node: node.memory.used_mb,
        MIB,
    ),
    "memory_total_bytes": ("Main memory", lambda node: node.memory.total_mb, MIB),
}


class _Collector(Collector):
    """Asks for a snapshot at each scrape."""

    def __init__(
        self, snapshot: Callable[[], NodeSnapshot], errors: Callable[[], Mapping[str, int]]
    ) -> None:
        self._snapshot, self._errors = snapshot, errors

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        for name, (text, of_node, factor) in _OF_THE_NODE.items():
            family = GaugeMetricFamily(f"gpuq_monitor_{name}", f"{text}.")
            _add(family, [], of_node(snapshot), factor)
            yield family
        for name, (text, of_gpu, factor) in _OF_A_GPU.items():
            family = GaugeMetricFamily(
                f"gpuq_monitor_gpu_{name}", f"{text}.", labels=("uuid", "index")
            )
            for gpu in snapshot.gpus:
                _add(family, [gpu.uuid, str(gpu.index)], of_gpu(gpu), factor)
            yield family
        yield self._sample_errors()
        yield InfoMetricFamily(
            "gpuq_monitor_build", "The version that runs.", value={"version": _version()}
        )

    def _sample_errors(self) -> Metric:
        text = "Readings with an error, by its code; sampler: its process had to be replaced."
        family = CounterMetricFamily("gpuq_monitor_sample_errors", text, labels=("error",))
        for error, count in sorted(self._errors().items()):
            family.add_metric([error], count)
        return family


def exposition(
    snapshot: Callable[[], NodeSnapshot], errors: Callable[[], Mapping[str, int]]
) -> Callable[[], bytes]:
    """A function that gives the body of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot, errors))
    return lambda: generate_latest(registry)


def _add(family: GaugeMetricFamily, labels: list[str], value: float | None, factor: float) -> None:
    if value is not None:
        family.add_metric(labels, value * factor)


def _version() -> str:
    try:
        return version("gpuq-lab")
    except PackageNotFoundError:
        return "unknown"
