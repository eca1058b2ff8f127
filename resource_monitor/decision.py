"""The gate: from a window of samples to a verdict on each GPU and on the node. Pure, total, and it fails closed.

A GPU passes when its free memory is > 200 MB and its utilisation < 80 %, the host when CPU < 90 % and memory < 85 %;
the node when the host passes and at least one GPU does. The worst value within the window counts, because NVML's
utilisation covers at most the last second: a pause between two batches is not an idle GPU.
"""

from collections.abc import Sequence
from dataclasses import replace

from jobqueue.resources import Gpu, NodeReason, NodeSnapshot, Thresholds
from jobqueue.resources import NodeReasonCode as Code
from resource_monitor.gate import Course, number
from resource_monitor.readings.describe import (
    amount,
    describe_cpu,
    describe_gpu,
    describe_memory,
    reason,
    used_by,
)
from resource_monitor.readings.reading import Fault, GpuReading, GpuReport, HostReading, Sample

LONGEST_WINDOW_S = 10.0
FEWEST_SAMPLES = 2
STALE_PERIODS = 3
LONGEST_PERIOD_S = (
    5.0  # however slow the driver is, readings older than three times this are not believed
)

Reasons = list[NodeReason]


def decide(
    samples: Sequence[Sample],
    thresholds: Thresholds,
    *,
    node: str,
    now: float,
    require_gpu: bool = True,
    window_s: float = LONGEST_WINDOW_S,
    trouble: str | None = None,
) -> NodeSnapshot:
    """The snapshot at `now` (s, same clock as `Sample.at`) from samples in order of time, oldest first.

    `trouble` is what is wrong with the sampler, if anything is; it is told to people, and never changes the verdict.
    """
    window = _window(samples, now, window_s)
    newest = window[-1] if window else Sample(now, 0, HostReading(), GpuReport())
    unfit = _reasons_not_to_judge(window, now, trouble)
    if unfit:
        available, reasons, gpus = False, unfit, _unjudged(newest)
    else:
        available, reasons, gpus = _judge(window, thresholds, now, require_gpu)
    return NodeSnapshot(
        node=node,
        available=available,
        age_s=amount(round(now - newest.at, 3)) if window else None,
        reasons=tuple(reasons),
        gpus=tuple(gpus),
        cpu=describe_cpu(newest.host),
        memory=describe_memory(newest.host),
        thresholds=thresholds,
    )


def _window(samples: Sequence[Sample], now: float, window_s: float) -> Sequence[Sample]:
    recent = [sample for sample in samples if now - sample.at <= window_s]
    return recent if len(recent) >= FEWEST_SAMPLES else samples[-FEWEST_SAMPLES:]


def _reasons_not_to_judge(window: Sequence[Sample], now: float, trouble: str | None) -> Reasons:
    if window:
        age_s, limit_s = (
            now - window[-1].at,
            STALE_PERIODS * min(window[-1].period_s, LONGEST_PERIOD_S),
        )
        if not 0 <= age_s <= limit_s:
            why = trouble or "the sampler process is silent, a driver call may hang"
            message = (
                f"The last reading is {number(age_s)} s old (limit: {number(limit_s)} s): {why}."
            )
            return [
                reason(
                    Code.STALE, message, value=amount(age_s), threshold=amount(limit_s), unit="s"
                )
            ]
    if len(window) < FEWEST_SAMPLES:
        why = f": {trouble}" if trouble else ""
        message = f"The monitor is starting, {len(window)} of {FEWEST_SAMPLES} readings taken{why}."
        return [reason(Code.STARTING, message)]
    return []


def _unjudged(newest: Sample) -> list[Gpu]:
    return [
        describe_gpu(gpu, available=False)
        for gpu in {gpu.uuid: gpu for gpu in newest.report.gpus}.values()
    ]


def _judge(
    window: Sequence[Sample], thresholds: Thresholds, now: float, require_gpu: bool
) -> tuple[bool, Reasons, list[Gpu]]:
    ages = [now - sample.at for sample in window]
    host_reasons = _host_reasons([sample.host for sample in window], ages, thresholds)
    verdicts = [_judge_gpu(uuid, window, ages, thresholds) for uuid in _uuids(window)]
    gpus = sorted((gpu for gpu, _ in verdicts), key=lambda gpu: gpu.index)
    gpu_reasons = [why for _, whys in verdicts for why in whys]
    faults = _faults(window[-1])
    does_without = (
        not require_gpu
        and not gpus
        and all(fault.code in (Code.NO_GPU, Code.NO_DRIVER) for fault in faults)
    )
    if not does_without:
        gpu_reasons += [reason(fault.code, fault.message) for fault in faults]
    available = not host_reasons and (does_without or any(gpu.available for gpu in gpus))
    return available, host_reasons + gpu_reasons, gpus


def _faults(sample: Sample) -> Sequence[Fault]:
    if sample.report.gpus or sample.report.faults:
        return sample.report.faults
    return [Fault(Code.NO_GPU, "There is no GPU on this node.")]


def _host_reasons(
    hosts: Sequence[HostReading], ages: Sequence[float], limits: Thresholds
) -> Reasons:
    cpu = Course("The CPU", [host.cpu_percent for host in hosts], ages)
    memory = Course("Main memory", [host.memory_percent for host in hosts], ages)
    return cpu.below(limits.cpu_percent, Code.CPU_BUSY, Code.CPU_UNKNOWN) + memory.below(
        limits.memory_percent, Code.MEMORY_BUSY, Code.MEMORY_UNKNOWN
    )


def _uuids(window: Sequence[Sample]) -> list[str]:
    """Every GPU seen within the window, the newest sample's first."""
    return list(
        dict.fromkeys(gpu.uuid for sample in reversed(window) for gpu in sample.report.gpus)
    )


def _judge_gpu(
    uuid: str, window: Sequence[Sample], ages: Sequence[float], limits: Thresholds
) -> tuple[Gpu, Reasons]:
    readings = [_find(sample, uuid) for sample in window]
    last_seen = next(reading for reading in reversed(readings) if reading)
    answered = [reading for reading in readings if reading and not reading.fault]
    if len(answered) == len(readings):
        reasons = _gpu_reasons(answered, ages, limits)
    else:
        reasons = [_silent(last_seen, readings[-1])]
    shown = readings[-1] or GpuReading(last_seen.index, uuid, last_seen.name)
    return describe_gpu(shown, available=not reasons), reasons


def _find(sample: Sample, uuid: str) -> GpuReading | None:
    found = [gpu for gpu in sample.report.gpus if gpu.uuid == uuid]
    if len(found) > 1:
        return replace(found[0], fault="two GPUs have its uuid")
    return found[0] if found else None


def _gpu_reasons(
    readings: Sequence[GpuReading], ages: Sequence[float], limits: Thresholds
) -> Reasons:
    index = readings[-1].index
    use = Course(f"GPU {index}", [reading.utilization_percent for reading in readings], ages, index)
    free = Course(f"GPU {index}", [_free_mb(reading) for reading in readings], ages, index)
    reasons = use.below(
        limits.gpu_utilization_percent, Code.GPU_BUSY, Code.GPU_UNKNOWN
    ) + free.above(limits.gpu_memory_free_mb, Code.GPU_MEMORY, Code.GPU_UNKNOWN)
    return _with_users(reasons, readings[-1])


def _with_users(reasons: Reasons, newest: GpuReading) -> Reasons:
    """The first reason that says "taken" says by whom."""
    for i, taken in enumerate(reasons):
        if taken.code in (Code.GPU_BUSY, Code.GPU_MEMORY):
            named = replace(taken, message=f"{taken.message.removesuffix('.')}{used_by(newest)}.")
            return [*reasons[:i], named, *reasons[i + 1 :]]
    return reasons


def _free_mb(reading: GpuReading) -> float | None:
    """Free memory, or None where it is not to be believed: unknown, or more than the GPU has."""
    free, total = amount(reading.memory_free_mb), amount(reading.memory_total_mb)
    return free if free is not None and total is not None and free <= total else None


def _silent(last_seen: GpuReading, newest: GpuReading | None) -> NodeReason:
    gpu = f"GPU {last_seen.index}"
    if newest is None or newest.lost:
        why = newest.fault if newest and newest.fault else "the driver no longer shows it"
        return reason(Code.GPU_LOST, f"{gpu} is lost: {why}.", gpu=last_seen.index)
    if newest.fault:
        return reason(
            Code.GPU_UNKNOWN, f"{gpu} cannot be read: {newest.fault}.", gpu=last_seen.index
        )
    return reason(
        Code.GPU_UNKNOWN,
        f"{gpu} answers again, but not long enough to be judged.",
        gpu=last_seen.index,
    )
