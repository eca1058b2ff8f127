"""This module declares a sample: raw readings that go from the sampler process to the server.

A number that could not be read is None. Megabytes are MiB; `at` is CLOCK_MONOTONIC, which all
processes share.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from jobqueue.resources import GpuProcess, NodeReasonCode


@dataclass(frozen=True)
class GpuReading:
    """One GPU at one instant.

    `fault` is the reason why it could not be read (None if it answered); `lost` is permanent.
    """

    index: int
    uuid: str
    name: str
    memory_used_mb: float | None = None
    memory_total_mb: float | None = None
    memory_free_mb: float | None = None
    utilization_percent: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    process_count: int | None = None
    fault: str | None = None
    lost: bool = False
    processes: tuple[GpuProcess, ...] | None = None


@dataclass(frozen=True)
class Fault:
    """The reason why GPUs are missing from a report: a code and a sentence."""

    code: NodeReasonCode
    message: str


@dataclass(frozen=True)
class GpuReport:
    """All GPUs that a backend sees; it must not be asked more often than every `min_period_s`."""

    gpus: tuple[GpuReading, ...] = ()
    faults: tuple[Fault, ...] = ()
    min_period_s: float = 0


@dataclass(frozen=True)
class HostReading:
    """CPU use (percent of all cores since the previous reading) and memory of the node."""

    cpu_percent: float | None = None
    load_average: tuple[float, float, float] | None = None
    memory_used_mb: float | None = None
    memory_total_mb: float | None = None
    memory_percent: float | None = None


@dataclass(frozen=True)
class Sample:
    """Everything read at one instant; the next sample is due `period_s` later."""

    at: float
    period_s: float
    host: HostReading
    report: GpuReport

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Sample":
        """Return the sample in a line; raises ValueError, KeyError or TypeError if it has none."""
        fields = json.loads(line)
        return cls(
            fields["at"], fields["period_s"], _host(fields["host"]), _report(fields["report"])
        )


def _host(fields: dict) -> HostReading:
    load = fields["load_average"]
    return replace(HostReading(**fields), load_average=tuple(load) if load else None)


def _report(fields: dict) -> GpuReport:
    faults = tuple(
        Fault(NodeReasonCode(fault["code"]), fault["message"]) for fault in fields["faults"]
    )
    return GpuReport(tuple(map(_gpu, fields["gpus"])), faults, fields["min_period_s"])


def _gpu(fields: dict) -> GpuReading:
    processes = fields["processes"]
    known = None if processes is None else tuple(GpuProcess(**process) for process in processes)
    return replace(GpuReading(**fields), processes=known)


class GpuBackend(Protocol):
    """A way to read the GPUs.

    `read` may raise or hang; the sampler process and its parent handle both.
    """

    def read(self) -> GpuReport: ...


class HostBackend(Protocol):
    """A way to read CPU and memory."""

    def read(self) -> HostReading: ...
