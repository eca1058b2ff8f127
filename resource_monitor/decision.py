"""This module turns a window of samples into a verdict on each GPU and on the node.

It is pure and total, and what it does not know is not available. By default a GPU passes when its
free memory is > 200 MB and its utilisation < 80 %, the host when CPU < 90 % and memory < 85 %
(docs/founding-document.md); the node passes when the host and at least one GPU do. The worst value
within the window counts, because NVML's utilisation covers at most the last second: a pause between
two batches is not an idle GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jobqueue.resources import Gpu, NodeReason, NodeSnapshot, Thresholds
from jobqueue.resources import NodeReasonCode as Code
from resource_monitor.gate import Gate, Quantity, number
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
#: A reading older than this many sample periods is stale.
STALE_PERIODS = 3
#: However slow the driver is, readings older than STALE_PERIODS times this are stale.
LONGEST_PERIOD_S = 5.0


@dataclass(frozen=True)
class _Verdict:
    available: bool
    reasons: list[NodeReason]
    gpus: list[Gpu]


def decide(
    samples: Sequence[Sample],
    gate: Gate,
    *,
    node: str,
    now: float,
    window_s: float = LONGEST_WINDOW_S,
    problem: str | None = None,
) -> NodeSnapshot:
    """Return the snapshot at `now` (s, same clock as `Sample.at`); the oldest sample comes first.

    `problem` is what is wrong with the sampler, if anything; it appears in messages only.
    """
    window = _window(samples, now, window_s)
    newest = window[-1] if window else Sample(now, 0, HostReading(), GpuReport())
    unfit = _reasons_not_to_judge(window, now, problem)
    verdict = _unjudged(newest, unfit) if unfit else _judge(window, gate, now)
    return NodeSnapshot(
        node=node,
        available=verdict.available,
        age_s=amount(round(now - newest.at, 3)) if window else None,
        reasons=tuple(verdict.reasons),
        gpus=tuple(verdict.gpus),
        cpu=describe_cpu(newest.host),
        memory=describe_memory(newest.host),
        thresholds=gate.thresholds,
    )


def _window(samples: Sequence[Sample], now: float, window_s: float) -> Sequence[Sample]:
    recent = [sample for sample in samples if now - sample.at <= window_s]
    return recent if len(recent) >= FEWEST_SAMPLES else samples[-FEWEST_SAMPLES:]


def _reasons_not_to_judge(
    window: Sequence[Sample], now: float, problem: str | None
) -> list[NodeReason]:
    if window and (stale := _staleness(window[-1], now, problem)):
        return [stale]
    if len(window) < FEWEST_SAMPLES:
        why = f": {problem}" if problem else ""
        taken = f"{len(window)} of {FEWEST_SAMPLES} readings taken"
        return [reason(Code.STARTING, f"The monitor is starting, {taken}{why}.")]
    return []


def _staleness(newest: Sample, now: float, problem: str | None) -> NodeReason | None:
    age_s = now - newest.at
    limit_s = STALE_PERIODS * min(newest.period_s, LONGEST_PERIOD_S)
    if 0 <= age_s <= limit_s:
        return None
    why = problem or "the sampler process is silent, a driver call may hang"
    message = f"The last reading is {number(age_s)} s old (limit: {number(limit_s)} s): {why}."
    return reason(Code.STALE, message, value=amount(age_s), threshold=amount(limit_s), unit="s")


def _unjudged(newest: Sample, reasons: list[NodeReason]) -> _Verdict:
    by_uuid = {gpu.uuid: gpu for gpu in newest.report.gpus}
    return _Verdict(False, reasons, [describe_gpu(gpu, False) for gpu in by_uuid.values()])


def _judge(window: Sequence[Sample], gate: Gate, now: float) -> _Verdict:
    ages_s = [now - sample.at for sample in window]
    host_reasons = _host_reasons([sample.host for sample in window], ages_s, gate.thresholds)
    judged = [_judge_gpu(uuid, window, ages_s, gate.thresholds) for uuid in _uuids(window)]
    gpus = sorted((gpu for gpu, _ in judged), key=lambda gpu: gpu.index)
    reasons = host_reasons + [why for _, reasons in judged for why in reasons]
    faults = _faults(window[-1])
    if not gate.require_gpu and not gpus and _are_only_no_gpu(faults):
        return _Verdict(not host_reasons, reasons, gpus)
    reasons += [reason(fault.code, fault.message) for fault in faults]
    return _Verdict(not host_reasons and any(gpu.available for gpu in gpus), reasons, gpus)


def _faults(sample: Sample) -> Sequence[Fault]:
    if sample.report.gpus or sample.report.faults:
        return sample.report.faults
    return [Fault(Code.NO_GPU, "There is no GPU on this node.")]


def _are_only_no_gpu(faults: Sequence[Fault]) -> bool:
    return all(fault.code in (Code.NO_GPU, Code.NO_DRIVER) for fault in faults)


def _host_reasons(
    hosts: Sequence[HostReading], ages_s: Sequence[float], limits: Thresholds
) -> list[NodeReason]:
    cpu = Quantity("The CPU", [host.cpu_percent for host in hosts], ages_s)
    memory = Quantity("Main memory", [host.memory_percent for host in hosts], ages_s)
    return [
        *cpu.below(limits.cpu_percent, Code.CPU_BUSY, Code.CPU_UNKNOWN),
        *memory.below(limits.memory_percent, Code.MEMORY_BUSY, Code.MEMORY_UNKNOWN),
    ]


def _uuids(window: Sequence[Sample]) -> list[str]:
    """Return every GPU seen within the window, the newest sample's first."""
    seen = (gpu.uuid for sample in reversed(window) for gpu in sample.report.gpus)
    return list(dict.fromkeys(seen))


def _judge_gpu(
    uuid: str, window: Sequence[Sample], ages_s: Sequence[float], limits: Thresholds
) -> tuple[Gpu, list[NodeReason]]:
    readings = [_find(sample, uuid) for sample in window]
    last_seen = next(reading for reading in reversed(readings) if reading)
    answered = [reading for reading in readings if reading and not reading.fault]
    if len(answered) == len(readings):
        reasons = _gpu_reasons(answered, ages_s, limits)
    else:
        reasons = [_no_answer(last_seen, readings[-1])]
    shown = readings[-1] or GpuReading(last_seen.index, uuid, last_seen.name)
    return describe_gpu(shown, not reasons), reasons


def _find(sample: Sample, uuid: str) -> GpuReading | None:
    found = [gpu for gpu in sample.report.gpus if gpu.uuid == uuid]
    if len(found) > 1:
        return replace(found[0], fault="two GPUs have its uuid")
    return found[0] if found else None


def _gpu_reasons(
    readings: Sequence[GpuReading], ages_s: Sequence[float], limits: Thresholds
) -> list[NodeReason]:
    newest = readings[-1]
    owner = f"GPU {newest.index}"
    busy = [reading.utilization_percent for reading in readings]
    free = [_free_mb(reading) for reading in readings]
    reasons = [
        *Quantity(owner, busy, ages_s, newest.index).below(
            limits.gpu_utilization_percent, Code.GPU_BUSY, Code.GPU_UNKNOWN
        ),
        *Quantity(owner, free, ages_s, newest.index).above(
            limits.gpu_memory_free_mb, Code.GPU_MEMORY, Code.GPU_UNKNOWN
        ),
    ]
    return _with_users(reasons, newest)


def _with_users(reasons: list[NodeReason], newest: GpuReading) -> list[NodeReason]:
    """Name the GPU's processes in its first reason that is about other work on it."""
    for i, taken in enumerate(reasons):
        if taken.code in (Code.GPU_BUSY, Code.GPU_MEMORY):
            named = replace(taken, message=f"{taken.message.removesuffix('.')}{used_by(newest)}.")
            return [*reasons[:i], named, *reasons[i + 1 :]]
    return reasons


def _free_mb(reading: GpuReading) -> float | None:
    """Return the free memory, or None if it is unknown or more than the GPU has."""
    free = amount(reading.memory_free_mb)
    total = amount(reading.memory_total_mb)
    return free if free is not None and total is not None and free <= total else None


def _no_answer(last_seen: GpuReading, newest: GpuReading | None) -> NodeReason:
    gpu = f"GPU {last_seen.index}"
    if newest is None or newest.lost:
        why = newest.fault if newest and newest.fault else "the driver no longer lists it"
        return reason(Code.GPU_LOST, f"{gpu} is lost: {why}.", gpu=last_seen.index)
    if newest.fault:
        message = f"{gpu} cannot be read: {newest.fault}."
    else:
        message = f"{gpu} is readable again, but not yet for a whole window."
    return reason(Code.GPU_UNKNOWN, message, gpu=last_seen.index)
