"""This module turns raw readings into a snapshot's fields.

A value that is not a plausible number becomes None, and text becomes printable.
"""

from collections.abc import Sequence

from jobqueue.resources import (
    LARGEST,
    LONGEST_TEXT,
    MOST_PROCESSES,
    PERCENT,
    Cpu,
    Gpu,
    GpuProcess,
    Memory,
    NodeReason,
    NodeReasonCode,
    is_amount,
)
from resource_monitor.readings.reading import GpuReading, HostReading

#: 16 GPUs with 32 processes each stay within the 64 KiB that the scheduler reads.
LONGEST_NAME = 40


def amount(value: float | None, high: float = LARGEST) -> float | None:
    """Return `value` if it is a number from 0 to `high`, else None (unknown)."""
    return value if is_amount(value, high) else None


def reason(
    code: NodeReasonCode,
    message: str,
    *,
    gpu: int | None = None,
    value: float | None = None,
    threshold: float | None = None,
    unit: str | None = None,
) -> NodeReason:
    """Return a reason whose message may quote a driver."""
    return NodeReason(code, _printable(message), gpu, value, threshold, unit)


def describe_gpu(reading: GpuReading, available: bool) -> Gpu:
    total = amount(reading.memory_total_mb)
    return Gpu(
        index=reading.index,
        uuid=_printable(reading.uuid),
        name=_printable(reading.name),
        memory_used_mb=_part(reading.memory_used_mb, total),
        memory_total_mb=total,
        memory_free_mb=_part(reading.memory_free_mb, total),
        utilization_percent=amount(reading.utilization_percent, PERCENT),
        power_w=amount(reading.power_w),
        temperature_c=amount(reading.temperature_c),
        process_count=reading.process_count,
        available=available,
        processes=_describe_processes(reading.processes),
    )


def used_by(reading: GpuReading) -> str:
    """Return the end of a sentence that names the GPU's processes, or "" if there are none.

    For example: ", used by pid 4242 of bob (22,100 MB) and 1 more".
    """
    processes = _describe_processes(reading.processes)
    if not processes:
        return ""
    largest = processes[0]
    others = max(len(processes), reading.process_count or 0) - 1
    who = "a process" if largest.pid is None else f"pid {largest.pid}"
    user = f" of {largest.user}" if largest.user else ""
    memory = "" if largest.used_memory_mb is None else f" ({largest.used_memory_mb:,.0f} MB)"
    return f", used by {who}{user}{memory}" + (f" and {others} more" if others else "")


def _describe_processes(processes: Sequence[GpuProcess] | None) -> tuple[GpuProcess, ...] | None:
    if processes is None:
        return None
    return tuple(
        GpuProcess(
            one.pid, amount(one.used_memory_mb), one.user and _printable(one.user)[:LONGEST_NAME]
        )
        for one in processes[:MOST_PROCESSES]
    )


def describe_cpu(host: HostReading) -> Cpu:
    load = host.load_average
    is_known = load is not None and all(is_amount(value) for value in load)
    return Cpu(amount(host.cpu_percent, PERCENT), load if is_known else None)


def describe_memory(host: HostReading) -> Memory:
    total = amount(host.memory_total_mb)
    return Memory(_part(host.memory_used_mb, total), total, amount(host.memory_percent, PERCENT))


def _part(value: float | None, total: float | None) -> float | None:
    """Return `value`, or None if it is not an amount or more than `total`."""
    return amount(value, LARGEST if total is None else total)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:LONGEST_TEXT] or "unknown"
