"""`GET /metrics` shows the snapshot to Prometheus (this is the only file that imports its client).

Base units (bytes, seconds, ratios from 0 to 1); an unknown number is left out, never 0. No label
names a person or a job, because series outlive both.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from jobqueue.resources import Gpu, NodeSnapshot

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
MIB = 2**20


@dataclass(frozen=True)
class _Gauge:
    """A metric's name, its help text, where its value comes from, and the factor to base units."""

    name: str
    text: str
    value_of: Callable[..., float | None]
    factor: float = 1

    def family(self, prefix: str, labels: Sequence[str] = ()) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"{prefix}_{self.name}", f"{self.text}.", labels=labels)

    def add(
        self, family: GaugeMetricFamily, labels: Sequence[str], source: NodeSnapshot | Gpu
    ) -> None:
        value = self.value_of(source)
        if value is not None:
            family.add_metric(labels, value * self.factor)


_OF_A_GPU = (
    _Gauge("available", "1 if this GPU passes the gate", lambda gpu: gpu.available),
    _Gauge(
        "utilization_ratio",
        "Share of time with work on the GPU, as last read",
        lambda gpu: gpu.utilization_percent,
        0.01,
    ),
    _Gauge("memory_used_bytes", "GPU memory in use", lambda gpu: gpu.memory_used_mb, MIB),
    _Gauge("memory_free_bytes", "GPU memory that is free", lambda gpu: gpu.memory_free_mb, MIB),
    _Gauge("memory_total_bytes", "Size of the GPU memory", lambda gpu: gpu.memory_total_mb, MIB),
    _Gauge("power_watts", "Power that the GPU draws", lambda gpu: gpu.power_w),
    _Gauge("temperature_celsius", "Temperature of the GPU", lambda gpu: gpu.temperature_c),
    _Gauge("processes", "Compute processes on the GPU", lambda gpu: gpu.process_count),
)
_OF_THE_NODE = (
    _Gauge("available", "1 if this node can take a training now", lambda node: node.available),
    _Gauge("sample_age_seconds", "Age of the last reading", lambda node: node.age_s),
    _Gauge(
        "cpu_usage_ratio",
        "Use of all cores, as last read",
        lambda node: node.cpu.usage_percent,
        0.01,
    ),
    _Gauge("memory_used_bytes", "Main memory not available", lambda node: node.memory.used_mb, MIB),
    _Gauge("memory_total_bytes", "Main memory", lambda node: node.memory.total_mb, MIB),
)


class _Collector(Collector):
    """Takes one snapshot for each scrape."""

    def __init__(
        self, snapshot: Callable[[], NodeSnapshot], errors: Callable[[], Mapping[str, int]]
    ) -> None:
        self._snapshot = snapshot
        self._errors = errors

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        for gauge in _OF_THE_NODE:
            family = gauge.family("gpuq_monitor")
            gauge.add(family, [], snapshot)
            yield family
        for gauge in _OF_A_GPU:
            family = gauge.family("gpuq_monitor_gpu", ("uuid", "index"))
            for gpu in snapshot.gpus:
                gauge.add(family, [gpu.uuid, str(gpu.index)], gpu)
            yield family
        yield self._sample_errors()
        yield InfoMetricFamily("gpuq_monitor_build", "The version.", value={"version": _version()})

    def _sample_errors(self) -> Metric:
        text = "Readings with an error, by its code; sampler: the sampler process was replaced."
        family = CounterMetricFamily("gpuq_monitor_sample_errors", text, labels=("error",))
        for error, count in sorted(self._errors().items()):
            family.add_metric([error], count)
        return family


def exposition(
    snapshot: Callable[[], NodeSnapshot], errors: Callable[[], Mapping[str, int]]
) -> Callable[[], bytes]:
    """Return a function that returns the body of one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot, errors))
    return lambda: generate_latest(registry)


def _version() -> str:
    try:
        return version("gpuq-lab")
    except PackageNotFoundError:
        return "unknown"
