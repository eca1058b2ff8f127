"""This module declares what a node has free: the wire format of the monitor's `GET /status`.

`NodeSnapshot.decode` raises `InvalidSnapshot` for anything that is not exactly a snapshot, so that
a broken monitor makes its node unavailable and never free. An unknown value is `None` (`null`),
never 0. Megabytes are MiB. Each field is declared once, with its type and its rule;
`jobqueue.codec.wire` reads it.
"""

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Annotated, Any

from jobqueue.codec.wire import MAY_BE_ABSENT, InvalidRecord, Rule, decode

NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
OFF = "off"
PERCENT = 100
#: Larger numbers are errors: NVML and DCGM write "no value" as 2^64 - 1 or 2^63 - 14.
LARGEST = 1e15
LONGEST_TEXT = 1000
#: The limit per GPU; it keeps a node's answer far below the size that the scheduler reads.
MOST_PROCESSES = 32


class InvalidSnapshot(ValueError):
    """The monitor's answer is not a resource snapshot; the message names the broken rule."""


class NodeReasonCode(StrEnum):
    """The list of reasons why a node or one of its GPUs is not available is closed."""

    GPU_BUSY = "gpu_busy"
    GPU_MEMORY = "gpu_memory"
    GPU_UNKNOWN = "gpu_unknown"  #: a GPU, or all of them, could not be read
    GPU_LOST = "gpu_lost"
    NO_GPU = "no_gpu"
    NO_DRIVER = "no_driver"
    CPU_BUSY = "cpu_busy"
    CPU_UNKNOWN = "cpu_unknown"
    MEMORY_BUSY = "memory_busy"
    MEMORY_UNKNOWN = "memory_unknown"
    STALE = "stale"  #: the last reading is too old to be relied on
    STARTING = "starting"  #: fewer than two readings so far


def is_amount(value: object, high: float = LARGEST) -> bool:
    """Return whether `value` is a real number (not a bool, not NaN) from 0 to `high`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high


def _is_text(value: object) -> bool:
    # isprintable also refuses lone surrogates, which could not be written anywhere later.
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable()


def _is_load(value: object) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(is_amount, value))


def _number_up_to(high: float) -> Rule:
    return Rule(lambda value: is_amount(value, high), f"a number from 0 to {high:g}")


def _limit_up_to(high: float) -> Rule:
    """A threshold: `off` on the wire is None here, which switches the check off."""
    return Rule(
        lambda value: value == OFF or is_amount(value, high),
        f"{OFF} or a number from 0 to {high:g}",
        lambda value: None if value == OFF else value,
    )


_WHOLE = Rule(
    lambda value: isinstance(value, int) and is_amount(value), f"a whole number up to {LARGEST:g}"
)
_TEXT = Rule(_is_text, f"a printable text of 1 to {LONGEST_TEXT} characters")
_HOST = Rule(
    lambda value: isinstance(value, str) and bool(NODE_NAME.fullmatch(value)), "a host name"
)
_CODE = Rule(tuple(NodeReasonCode).__contains__, "a known reason code")
_LOAD = Rule(_is_load, "three numbers, none of them below 0", tuple)

Amount = Annotated[float, _number_up_to(LARGEST)]
Percentage = Annotated[float, _number_up_to(PERCENT)]
AmountLimit = Annotated[float | None, _limit_up_to(LARGEST)]
PercentLimit = Annotated[float | None, _limit_up_to(PERCENT)]
Count = Annotated[int, _WHOLE]
Text = Annotated[str, _TEXT]


@dataclass(frozen=True)
class GpuProcess:
    """A process computes on a GPU; a value that is not known for certain is None."""

    pid: Count | None
    used_memory_mb: Amount | None
    user: Text | None


@dataclass(frozen=True)
class Gpu:
    """One GPU is described by its last reading; `available` covers it alone over the whole window.

    `processes` are the MOST_PROCESSES largest of `process_count`, or None if they are unknown.
    """

    index: Count
    uuid: Text
    name: Text
    memory_used_mb: Amount | None
    memory_total_mb: Amount | None
    memory_free_mb: Amount | None
    utilization_percent: Percentage | None
    power_w: Amount | None
    temperature_c: Amount | None
    process_count: Count | None
    available: bool
    processes: tuple[GpuProcess, ...] | None = field(default=None, metadata=MAY_BE_ABSENT)


@dataclass(frozen=True)
class Cpu:
    """The usage is over all cores, the load averages over 1, 5 and 15 minutes."""

    usage_percent: Percentage | None
    load_average: Annotated[tuple[float, float, float], _LOAD] | None


@dataclass(frozen=True)
class Memory:
    """In main memory, `used_mb` is what a new process cannot have."""

    used_mb: Amount | None
    total_mb: Amount | None
    usage_percent: Percentage | None


@dataclass(frozen=True)
class Thresholds:
    """The gate's limits are strict: free > MB, usage < percent. None switches one off."""

    gpu_memory_free_mb: AmountLimit = 200
    gpu_utilization_percent: PercentLimit = 80
    cpu_percent: PercentLimit = 90
    memory_percent: PercentLimit = 85


@dataclass(frozen=True)
class NodeReason:
    """One reason has a sentence for people, and the index of the GPU that it is about, if any."""

    code: Annotated[str, _CODE]
    message: Text
    gpu: Count | None = None
    value: Amount | None = None
    threshold: Amount | None = None
    unit: Text | None = None


@dataclass(frozen=True)
class NodeSnapshot:
    """A snapshot has one node's resources and verdict.

    `age_s` is the age of the last reading, None before the first.
    """

    node: Annotated[str, _HOST]
    available: bool
    age_s: Amount | None
    reasons: tuple[NodeReason, ...]
    gpus: tuple[Gpu, ...]
    cpu: Cpu
    memory: Memory
    thresholds: Thresholds

    def encode(self) -> dict[str, Any]:
        """Return the JSON object of `GET /status`; a threshold that is None is written as `off`."""
        limits = {
            name: OFF if limit is None else limit for name, limit in asdict(self.thresholds).items()
        }
        return asdict(self) | {"thresholds": limits}

    @classmethod
    def decode(cls, body: bytes | str) -> "NodeSnapshot":
        """Read a response body, ignoring unknown fields; raises InvalidSnapshot."""
        try:
            snapshot = decode(cls, body)
        except InvalidRecord as error:
            raise InvalidSnapshot(str(error)) from None
        _check_amounts(snapshot)
        _check_verdict(snapshot)
        return snapshot


def free_gpus(snapshot: NodeSnapshot, reserved_uuids: Collection[str]) -> tuple[Gpu, ...]:
    """Return the available GPUs that are not reserved; none if the node is not available."""
    if not snapshot.available:
        return ()
    return tuple(gpu for gpu in snapshot.gpus if gpu.available and gpu.uuid not in reserved_uuids)


def _refuse_if(broken: bool, message: str) -> None:
    if broken:
        raise InvalidSnapshot(message)


def _check_amounts(snapshot: NodeSnapshot) -> None:
    _check_part("memory.used_mb", snapshot.memory.used_mb, snapshot.memory.total_mb)
    for i, gpu in enumerate(snapshot.gpus):
        _check_part(f"gpus[{i}].memory_used_mb", gpu.memory_used_mb, gpu.memory_total_mb)
        _check_part(f"gpus[{i}].memory_free_mb", gpu.memory_free_mb, gpu.memory_total_mb)
        too_many = len(gpu.processes or ()) > MOST_PROCESSES
        _refuse_if(too_many, f"gpus[{i}].processes must have at most {MOST_PROCESSES} entries.")


def _check_part(path: str, part: float | None, total: float | None) -> None:
    too_large = part is not None and total is not None and part > total
    _refuse_if(too_large, f"{path} is more than the total.")


def _check_verdict(snapshot: NodeSnapshot) -> None:
    """Refuse a verdict that contradicts the snapshot's own numbers."""
    gpus, limits = snapshot.gpus, snapshot.thresholds
    duplicates = len({gpu.uuid for gpu in gpus}) != len(gpus)
    _refuse_if(duplicates, "Two GPUs of the snapshot have the same uuid.")
    unread = any(gpu.available and _is_unknown(gpu, limits) for gpu in gpus)
    _refuse_if(unread, "A GPU is available although its utilisation or free memory is unknown.")
    if not snapshot.available:
        _refuse_if(not snapshot.reasons, "The node is unavailable without a reason.")
        return
    unknown = not _is_host_known(snapshot)
    _refuse_if(unknown, "The node is available although its age, CPU or memory is unknown.")
    none_free = bool(gpus) and not any(gpu.available for gpu in gpus)
    _refuse_if(none_free, "The node is available although none of its GPUs is.")


def _is_unknown(gpu: Gpu, limits: Thresholds) -> bool:
    """Return whether a number that its threshold needs is unknown (MIG has no utilisation)."""
    memory_unknown = gpu.memory_free_mb is None or gpu.memory_total_mb is None
    utilization_unknown = gpu.utilization_percent is None
    return (memory_unknown and limits.gpu_memory_free_mb is not None) or (
        utilization_unknown and limits.gpu_utilization_percent is not None
    )


def _is_host_known(snapshot: NodeSnapshot) -> bool:
    limits = snapshot.thresholds
    cpu_known = snapshot.cpu.usage_percent is not None or limits.cpu_percent is None
    memory_known = snapshot.memory.usage_percent is not None or limits.memory_percent is None
    return snapshot.age_s is not None and cpu_known and memory_known
