"""The process that touches the driver: `python -m resource_monitor.sampler_process PERIOD_S`.

It writes one sample a line to its standard output and is meant to be killed at any time. NVML may hang in the kernel,
beyond SIGKILL even, which is why no thread of the server ever calls it.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

from jobqueue.resources import NodeReasonCode
from resource_monitor.readings import nvidia_smi
from resource_monitor.readings.host import Host
from resource_monitor.readings.no_gpu import NoGpu
from resource_monitor.readings.nvml import Nvml, NvmlMissing
from resource_monitor.readings.reading import (
    Fault,
    GpuBackend,
    GpuReport,
    HostBackend,
    HostReading,
    Sample,
)


class Gpus:
    """NVML, else nvidia-smi, else none: asked anew each time, because a driver may be installed while we run."""

    def __init__(self) -> None:
        self._nvml, self._smi, self._none = Nvml(), nvidia_smi.NvidiaSmi(), NoGpu()

    def read(self) -> GpuReport:
        try:
            return self._nvml.read()
        except NvmlMissing:
            return self._smi.read() if nvidia_smi.is_installed() else self._none.read()


def serve(gpus: GpuBackend, host: HostBackend, period_s: float) -> None:
    """Sample for ever onto standard output; ends with the parent, even while a read hangs."""
    out = _claim_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    due = time.monotonic() + period_s  # not at once: CPU use is known only over some time
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        sample = take(gpus, host, period_s, time.monotonic)
        out.write(sample.encode())
        due = sample.at + sample.period_s


def take(
    gpus: GpuBackend, host: HostBackend, period_s: float, clock: Callable[[], float]
) -> Sample:
    """One sample; what cannot be read is a fault or None in it. A slow driver stretches the period it declares."""
    at = clock()
    host_reading, report = _read_host(host), _read_gpus(gpus)
    return Sample(at, max(period_s, report.min_period_s, clock() - at), host_reading, report)


def _read_gpus(gpus: GpuBackend) -> GpuReport:
    try:
        return gpus.read()
    except Exception as error:  # noqa: BLE001 - whatever a driver does, the host's numbers still go out
        why = f"The GPUs cannot be read: {type(error).__name__}: {error}."
        return GpuReport(faults=(Fault(NodeReasonCode.GPU_UNKNOWN, why[:500]),))


def _read_host(host: HostBackend) -> HostReading:
    try:
        return host.read()
    except Exception:  # noqa: BLE001 - unknown, and so not available, which the verdict says in words
        return HostReading()


def _claim_stdout() -> BinaryIO:
    """Standard output for samples alone: whatever a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def _end_with_parent() -> None:
    # The parent never writes to our standard input; its end, by whatever death, closes it. A hanging driver call
    # holds the main thread, so nothing gentler than _exit would do.
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    try:
        serve(Gpus(), Host(), float(sys.argv[1]))
    except BrokenPipeError:
        pass  # the parent has gone
