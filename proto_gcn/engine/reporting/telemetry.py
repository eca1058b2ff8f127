"""Samples GPUs, CPU and memory during a training: the only file that uses pynvml and psutil.

It never stops a training: a value that cannot be read is null in the sample.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

try:
    import psutil
except ImportError:
    psutil = None  # type: ignore[assignment]
try:
    import pynvml
except ImportError:
    pynvml = None

from proto_gcn.engine.reporting.run_log import MetricsLog

PERIOD_S = 5.0
MB = 1024 * 1024


@dataclass(frozen=True)
class Gpu:
    """One GPU at one instant; None means unknown."""

    index: int
    uuid: str | None
    utilization_percent: float | None
    memory_used_mb: int | None
    memory_total_mb: int | None
    power_w: float | None


@dataclass(frozen=True)
class Sample:
    """The GPUs that this process may use, and the whole machine's CPU and memory."""

    gpus: list[Gpu] = field(default_factory=list)
    cpu_percent: float | None = None
    memory_used_mb: int | None = None
    memory_total_mb: int | None = None


class Telemetry:
    """Samples every 5 s, in a thread because NVML may hang; `latest` is the newest sample."""

    def __init__(self, metrics: MetricsLog, sample: Callable[[], Sample] | None = None) -> None:
        self.latest = Sample()
        self._metrics = metrics
        self._sample = sample or take_sample
        self._stopping = threading.Event()
        self._sampled = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self, first_within_s: float = 10.0) -> Sample:
        """Start sampling and return the first sample; an empty one if it takes longer."""
        self._thread.start()
        self._sampled.wait(first_within_s)
        return self.latest

    def stop(self) -> None:
        """End the thread, within a second: a hanging driver must not keep the run from ending."""
        self._stopping.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._measure()
            self._sampled.set()
            self._stopping.wait(PERIOD_S)

    def _measure(self) -> None:
        try:
            self.latest = self._sample()
            self._metrics.write("telemetry", **asdict(self.latest))
        except Exception:  # noqa: BLE001, S110
            pass  # a full disk or a broken driver must not stop a training


def take_sample() -> Sample:
    """Return GPUs, CPU and memory now."""
    memory = _ask(lambda: psutil.virtual_memory())
    return Sample(
        gpus=_ask(_gpus) or [],
        cpu_percent=_cpu_percent(),
        memory_used_mb=_ask(lambda: memory.used // MB),
        memory_total_mb=_ask(lambda: memory.total // MB),
    )


def _cpu_percent() -> float | None:
    """Return the use since the previous call; psutil's first answer, 0.0, means unknown."""
    measured = _ask(lambda: psutil.cpu_percent(interval=None))
    first = not getattr(_cpu_percent, "asked", False)
    _cpu_percent.asked = True  # type: ignore[attr-defined]
    return None if first else measured


def _gpus() -> list[Gpu]:
    pynvml.nvmlInit()  # repeated calls only count references
    try:
        return [_gpu(handle) for handle in _visible_handles()]
    finally:
        pynvml.nvmlShutdown()


def _visible_handles() -> list[Any]:
    """Return the GPUs in CUDA_VISIBLE_DEVICES, by index or UUID; unset means all."""
    count, visible = pynvml.nvmlDeviceGetCount(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)]
    names = [name.strip() for name in visible.split(",") if name.strip()]
    by_index = [
        pynvml.nvmlDeviceGetHandleByIndex(int(n)) for n in names if n.isdigit() and int(n) < count
    ]
    return by_index + [pynvml.nvmlDeviceGetHandleByUUID(n) for n in names if n.startswith("GPU-")]


def _gpu(handle: Any) -> Gpu:
    memory = _ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    return Gpu(
        index=pynvml.nvmlDeviceGetIndex(handle),
        uuid=_ask(lambda: pynvml.nvmlDeviceGetUUID(handle)),
        utilization_percent=_ask(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        memory_used_mb=_ask(lambda: memory.used // MB),
        memory_total_mb=_ask(lambda: memory.total // MB),
        power_w=_ask(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000),
    )


def _ask(question: Callable[[], Any]) -> Any:
    """Return the answer, or None: an unknown value is never 0."""
    try:
        return question()
    except Exception:  # noqa: BLE001 - no driver, no permission, not supported: all mean unknown
        return None
