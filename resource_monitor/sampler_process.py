"""This process alone calls the driver: `python -m resource_monitor.sampler_process PERIOD_S`.

It writes one sample a line to its standard output and may be killed at any time. NVML can hang in
the kernel, where even SIGKILL does not end it, so no thread of the server ever calls it.
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
    """Reads through NVML, else nvidia-smi, else neither.

    The choice is made at each reading, because a driver may be installed while the monitor runs.
    """

    def __init__(self) -> None:
        self._nvml = Nvml()
        self._smi = nvidia_smi.NvidiaSmi()
        self._none = NoGpu()

    def read(self) -> GpuReport:
        try:
            return self._nvml.read()
        except NvmlMissing:
            return self._smi.read() if nvidia_smi.is_installed() else self._none.read()


def serve(gpus: GpuBackend, host: HostBackend, period_s: float) -> None:
    """Write samples to standard output; the process ends with its parent even if a read hangs."""
    out = _claim_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    due = time.monotonic() + period_s  # not at once: CPU use is measured over a period
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        sample = take(gpus, host, period_s, time.monotonic)
        out.write(sample.encode())
        due = sample.at + sample.period_s


def take(
    gpus: GpuBackend, host: HostBackend, period_s: float, clock: Callable[[], float]
) -> Sample:
    """Return one sample; what cannot be read is a fault or None in it.

    A slow driver lengthens the period that the sample declares.
    """
    at = clock()
    host_reading = _read_host(host)
    report = _read_gpus(gpus)
    return Sample(at, max(period_s, report.min_period_s, clock() - at), host_reading, report)


def _read_gpus(gpus: GpuBackend) -> GpuReport:
    try:
        return gpus.read()
    except Exception as error:  # noqa: BLE001 - the host's numbers are sent even so
        why = f"The GPUs cannot be read: {type(error).__name__}: {error}."
        return GpuReport(faults=(Fault(NodeReasonCode.GPU_UNKNOWN, why[:500]),))


def _read_host(host: HostBackend) -> HostReading:
    try:
        return host.read()
    except Exception:  # noqa: BLE001 - unknown is not available, and the verdict has the reason
        return HostReading()


def _claim_stdout() -> BinaryIO:
    """Reserve standard output for samples: what a library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return out


def _end_with_parent() -> None:
    # The parent never writes to our standard input, which closes when the parent ends, however it
    # ends. A hanging driver call blocks the main thread, so only _exit works.
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    try:
        serve(Gpus(), Host(), float(sys.argv[1]))
    except BrokenPipeError:
        pass  # the parent has ended
