"""This module reads the GPUs through NVML (only this file imports pynvml).

Every NVML error becomes a fault with a sentence. NVML is opened once and kept open, because opening
it takes seconds if persistence mode is off.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pynvml

from jobqueue.resources import MOST_PROCESSES, GpuProcess, NodeReasonCode
from resource_monitor.readings.owners import Owners
from resource_monitor.readings.reading import Fault, GpuReading, GpuReport

MIB = 2**20
REOPEN_AFTER_S = 30.0
RETRY_S = 2.0  # opening NVML without a driver may start nvidia-modprobe each time

_GONE = (
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_GPU_NOT_FOUND,
)
_UNSUPPORTED = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
)


class NvmlMissing(Exception):
    """This machine has no NVML library."""


class Nvml:
    """`read` raises NvmlMissing if there is no library; other errors become faults."""

    def __init__(
        self,
        library: Any = pynvml,
        clock: Callable[[], float] = time.monotonic,
        reopen_after_s: float = REOPEN_AFTER_S,
        owners: Owners | None = None,
    ) -> None:
        self._library = library
        self._clock = clock
        self._reopen_after_s = reopen_after_s
        self._owners = owners or Owners()
        self._opened_at: float | None = None
        #: index → (uuid, name): a lost GPU no longer reports them.
        self._known: dict[int, tuple[str, str]] = {}

    def read(self) -> GpuReport:
        try:
            self._open()
            return self._report()
        except pynvml.NVMLError as error:
            self._close()
            return GpuReport(faults=(_fault(error),), min_period_s=RETRY_S)

    def _open(self) -> None:
        if self._opened_at is None:
            try:
                self._library.nvmlInit()
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
                    raise NvmlMissing from None
                raise
            self._opened_at = self._clock()

    def _close(self) -> None:
        if self._opened_at is not None:
            self._opened_at = None
            try:
                self._library.nvmlShutdown()
            except pynvml.NVMLError:
                pass  # it is not used any more in either case

    def _report(self) -> GpuReport:
        readings = _without_doubles(
            [self._read_gpu(index) for index in range(self._library.nvmlDeviceGetCount())]
        )
        gpus = tuple(r for r in readings if isinstance(r, GpuReading))
        faults = tuple(r for r in readings if isinstance(r, Fault))
        if not readings:
            faults = (Fault(NodeReasonCode.NO_GPU, "The NVIDIA driver sees no GPU on this node."),)
        if faults or any(gpu.fault for gpu in gpus):
            self._reopen_later()
        return GpuReport(gpus, faults)

    def _reopen_later(self) -> None:
        # A GPU that comes back after a reset answers only after NVML is opened again.
        if self._opened_at is not None and self._clock() - self._opened_at > self._reopen_after_s:
            self._close()

    def _read_gpu(self, index: int) -> GpuReading | Fault:
        """Read one GPU; its fault does not keep the others from being read."""
        library = self._library
        try:
            handle = library.nvmlDeviceGetHandleByIndex(index)
            known = library.nvmlDeviceGetUUID(handle), library.nvmlDeviceGetName(handle)
            self._known[index] = known
            return _measure(library, self._owners, handle, GpuReading(index, *known))
        except pynvml.NVMLError as error:
            return self._unreadable(index, error)

    def _unreadable(self, index: int, error: pynvml.NVMLError) -> GpuReading | Fault:
        lost = error.value in _GONE
        if index in self._known:
            return GpuReading(index, *self._known[index], fault=str(error), lost=lost)
        return _nameless(GpuReading(index, "", "", fault=str(error), lost=lost))


def _without_doubles(readings: Sequence[GpuReading | Fault]) -> list[GpuReading | Fault]:
    """Remove the name from a failing GPU whose uuid another GPU answers with.

    Indices change when a GPU disappears or comes back, so the remembered name may be wrong.
    """
    answering = {r.uuid for r in readings if isinstance(r, GpuReading) and not r.fault}
    return [
        _nameless(r) if isinstance(r, GpuReading) and r.fault and r.uuid in answering else r
        for r in readings
    ]


def _nameless(reading: GpuReading) -> Fault:
    code = NodeReasonCode.GPU_LOST if reading.lost else NodeReasonCode.GPU_UNKNOWN
    return Fault(code, f"GPU {reading.index} cannot be read: {reading.fault}.")


def _measure(library: Any, owners: Owners, handle: Any, gpu: GpuReading) -> GpuReading:
    """Return `gpu` with its numbers."""
    memory = _supported(library.nvmlDeviceGetMemoryInfo, handle)
    utilization = _supported(library.nvmlDeviceGetUtilizationRates, handle)
    power_mw = _extra(library.nvmlDeviceGetPowerUsage, handle)
    processes = _extra(library.nvmlDeviceGetComputeRunningProcesses, handle)
    return replace(
        gpu,
        memory_used_mb=memory and memory.used // MIB,
        memory_total_mb=memory and memory.total // MIB,
        memory_free_mb=memory and memory.free // MIB,
        utilization_percent=utilization and utilization.gpu,
        power_w=None if power_mw is None else round(power_mw / 1000, 1),
        temperature_c=_extra(library.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        process_count=None if processes is None else len(processes),
        processes=None if processes is None else _largest(processes, owners),
    )


def _largest(processes: Sequence[Any], owners: Owners) -> tuple[GpuProcess, ...]:
    """Return the processes with the most memory and their users; memory is None under MIG."""
    by_size = sorted(processes, key=lambda process: process.usedGpuMemory or 0, reverse=True)
    return tuple(
        GpuProcess(
            pid=owners.pid(process.pid),
            used_memory_mb=None if process.usedGpuMemory is None else process.usedGpuMemory // MIB,
            user=owners.user(process.pid),
        )
        for process in by_size[:MOST_PROCESSES]
    )


def _supported(call: Callable[..., Any], *args: Any) -> Any:
    """Return a number that the gate needs, or None if this GPU does not support it.

    MIG and unified memory are examples. Any other error is a fault.
    """
    try:
        return call(*args)
    except pynvml.NVMLError as error:
        if error.value in _UNSUPPORTED:
            return None
        raise


def _extra(call: Callable[..., Any], *args: Any) -> Any:
    """Return a number that only people read; None on any error, as the gate does not need it."""
    try:
        return call(*args)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None


def _fault(error: pynvml.NVMLError) -> Fault:
    if error.value == pynvml.NVML_ERROR_DRIVER_NOT_LOADED:
        return Fault(NodeReasonCode.NO_DRIVER, "The NVIDIA driver is not loaded on this node.")
    if error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        why = "the NVIDIA library and the loaded driver have different versions"
        remedy = "restart the node after a driver update"
        return Fault(NodeReasonCode.NO_DRIVER, f"The GPUs cannot be read: {why} ({remedy}).")
    return Fault(NodeReasonCode.GPU_UNKNOWN, f"The GPUs cannot be read: {error}.")
