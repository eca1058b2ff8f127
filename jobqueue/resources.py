"""What a node has free: the wire format of the monitor's `GET /status`, shared with the scheduler.

`NodeSnapshot.decode` believes nothing: whatever is not exactly a snapshot raises `InvalidSnapshot`, so that a broken or
lying monitor reads as "unavailable" and never as "free". Absent is `None` (`null`), never 0. Megabytes are MiB.
"""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

NODE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
OFF = "off"
PERCENT = 100
LARGEST = (
    1e15  # beyond it stand only errors: NVML and DCGM write "no value" as 2^64 - 1 or 2^63 - 14
)
LONGEST_TEXT = 1000
MOST_PROCESSES = (
    32  # of one GPU, so that a node's answer stays far below what the scheduler reads of one
)

T = TypeVar("T")


class InvalidSnapshot(ValueError):
    """What a monitor sent is not a resource snapshot; the message is one sentence that says what is wrong."""


class NodeReasonCode(StrEnum):
    """Why a node or one of its GPUs is not available (closed list)."""

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
    STALE = "stale"  #: the last reading is too old to be believed
    STARTING = "starting"  #: fewer than two readings so far


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU; what cannot be known for sure is None."""

    pid: int | None
    used_memory_mb: float | None
    user: str | None


@dataclass(frozen=True)
class Gpu:
    """One GPU as last read; `available` is the verdict over the whole window, on this GPU alone."""

    index: int
    uuid: str
    name: str
    memory_used_mb: float | None
    memory_total_mb: float | None
    memory_free_mb: float | None
    utilization_percent: float | None
    power_w: float | None
    temperature_c: float | None
    process_count: int | None
    available: bool
    processes: tuple[GpuProcess, ...] | None = (
        None  #: the largest MOST_PROCESSES of them; None: unknown
    )


@dataclass(frozen=True)
class Cpu:
    """Usage over all cores; load averages over 1, 5 and 15 minutes."""

    usage_percent: float | None
    load_average: tuple[float, float, float] | None


@dataclass(frozen=True)
class Memory:
    """Main memory; used is what is not available to a new process."""

    used_mb: float | None
    total_mb: float | None
    usage_percent: float | None


@dataclass(frozen=True)
class Thresholds:
    """The seed's gate, all inequalities strict: free > MB, usage < percent. `None` is `off`: not judged."""

    gpu_memory_free_mb: float | None = 200
    gpu_utilization_percent: float | None = 80
    cpu_percent: float | None = 90
    memory_percent: float | None = 85


@dataclass(frozen=True)
class NodeReason:
    """`code` is one of `NodeReasonCode`, `message` one sentence for a person; `gpu` the index it is about."""

    code: str
    message: str
    gpu: int | None = None
    value: float | None = None
    threshold: float | None = None
    unit: str | None = None


@dataclass(frozen=True)
class NodeSnapshot:
    """One node's resources and verdict; `age_s` is the age of the last reading, None before the first."""

    node: str
    available: bool
    age_s: float | None
    reasons: tuple[NodeReason, ...]
    gpus: tuple[Gpu, ...]
    cpu: Cpu
    memory: Memory
    thresholds: Thresholds

    def encode(self) -> dict[str, Any]:
        """The JSON object of `GET /status`; a threshold that is None is written as `off`."""
        limits = {
            name: OFF if limit is None else limit for name, limit in asdict(self.thresholds).items()
        }
        return asdict(self) | {"thresholds": limits}

    @classmethod
    def decode(cls, body: bytes | str) -> "NodeSnapshot":
        """The snapshot in a response body; raises InvalidSnapshot on anything else. Unknown fields are passed over."""
        fields = _Fields(_load(body), "the snapshot")
        snapshot = cls(
            node=fields.text("node"),
            available=fields.boolean("available"),
            age_s=fields.optional("age_s", fields.number),
            reasons=fields.each("reasons", _reason),
            gpus=fields.each("gpus", _gpu),
            cpu=_cpu(fields.inner("cpu")),
            memory=_memory(fields.inner("memory")),
            thresholds=_thresholds(fields.inner("thresholds")),
        )
        _check_consistent(snapshot)
        return snapshot


def free_gpus(snapshot: NodeSnapshot, reserved_uuids: Collection[str]) -> tuple[Gpu, ...]:
    """The GPUs free by measurement and by ledger; none where the node itself is not available."""
    if not snapshot.available:
        return ()
    return tuple(gpu for gpu in snapshot.gpus if gpu.available and gpu.uuid not in reserved_uuids)


def _load(body: bytes | str) -> Any:
    try:
        text = body.decode() if isinstance(body, bytes) else body
        return json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except InvalidSnapshot:
        raise
    except RecursionError:
        raise InvalidSnapshot("the answer is JSON nested too deeply.") from None
    except ValueError as error:  # bad UTF-8, bad JSON, an integer of thousands of digits
        raise InvalidSnapshot(f"the answer is not JSON ({str(error)[:100]}).") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidSnapshot("the answer has a duplicate key in a JSON object.")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidSnapshot(f"the answer has {name} where JSON has numbers.")


class _Fields:
    """The fields of one JSON object, each read with its type and range; `where` names the object in messages."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidSnapshot(f"{where} is not a JSON object.")
        self._fields, self.where = value, where

    def fail(self, name: str, rule: str) -> NoReturn:
        raise InvalidSnapshot(f"{name} of {self.where} {rule}.")

    def get(self, name: str) -> Any:
        if name not in self._fields:
            self.fail(name, "is missing")
        return self._fields[name]

    def boolean(self, name: str) -> bool:
        value = self.get(name)
        return value if isinstance(value, bool) else self.fail(name, "must be true or false")

    def text(self, name: str) -> str:
        value = self.get(name)
        # isprintable also refuses lone surrogates, which could not be written anywhere later.
        if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT and value.isprintable():
            return value
        return self.fail(name, f"must be a printable text of 1 to {LONGEST_TEXT} characters")

    def number(self, name: str, high: float = LARGEST) -> float:
        value = self.get(name)
        if is_amount(value, high):
            return value
        return self.fail(name, f"must be a number from 0 to {high:g}")

    def count(self, name: str) -> int:
        value = self.number(name)
        return value if isinstance(value, int) else self.fail(name, "must be a whole number")

    def optional(self, name: str, read: Callable[..., T], *limits: float) -> T | None:
        return None if self.get(name) is None else read(name, *limits)

    def inner(self, name: str) -> "_Fields":
        return _Fields(self.get(name), f"{name} in {self.where}")

    def is_given(self, name: str) -> bool:
        """For a field that older monitors do not send: absent and null are the same."""
        return self._fields.get(name) is not None

    def each(
        self, name: str, read: Callable[["_Fields"], T], most: int | None = None
    ) -> tuple[T, ...]:
        values = self.get(name)
        if not isinstance(values, list):
            self.fail(name, "must be a list")
        if most is not None and len(values) > most:
            self.fail(name, f"must have at most {most} entries")
        return tuple(read(_Fields(value, f"{name}[{i}]")) for i, value in enumerate(values))


def is_amount(value: object, high: float = LARGEST) -> bool:
    """Whether `value` is a real number (no bool, no NaN) from 0 to `high`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high


def _gpu(f: _Fields) -> Gpu:
    gpu = Gpu(
        index=f.count("index"),
        uuid=f.text("uuid"),
        name=f.text("name"),
        memory_used_mb=f.optional("memory_used_mb", f.number),
        memory_total_mb=f.optional("memory_total_mb", f.number),
        memory_free_mb=f.optional("memory_free_mb", f.number),
        utilization_percent=f.optional("utilization_percent", f.number, PERCENT),
        power_w=f.optional("power_w", f.number),
        temperature_c=f.optional("temperature_c", f.number),
        process_count=f.optional("process_count", f.count),
        available=f.boolean("available"),
        processes=f.each("processes", _process, MOST_PROCESSES)
        if f.is_given("processes")
        else None,
    )
    _check_within(f, gpu.memory_used_mb, gpu.memory_total_mb, "memory_used_mb")
    _check_within(f, gpu.memory_free_mb, gpu.memory_total_mb, "memory_free_mb")
    return gpu


def _process(f: _Fields) -> GpuProcess:
    return GpuProcess(
        pid=f.optional("pid", f.count),
        used_memory_mb=f.optional("used_memory_mb", f.number),
        user=f.optional("user", f.text),
    )


def _cpu(f: _Fields) -> Cpu:
    return Cpu(f.optional("usage_percent", f.number, PERCENT), _load_average(f))


def _load_average(f: _Fields) -> tuple[float, float, float] | None:
    values = f.get("load_average")
    if values is None:
        return None
    if (
        not isinstance(values, list)
        or len(values) != 3
        or not all(is_amount(value) for value in values)
    ):
        f.fail("load_average", "must be three numbers, none below 0")
    return (values[0], values[1], values[2])


def _memory(f: _Fields) -> Memory:
    memory = Memory(
        used_mb=f.optional("used_mb", f.number),
        total_mb=f.optional("total_mb", f.number),
        usage_percent=f.optional("usage_percent", f.number, PERCENT),
    )
    _check_within(f, memory.used_mb, memory.total_mb, "used_mb")
    return memory


def _thresholds(f: _Fields) -> Thresholds:
    def limit(name: str, high: float) -> float | None:
        return None if f.get(name) == OFF else f.number(name, high)

    return Thresholds(
        gpu_memory_free_mb=limit("gpu_memory_free_mb", LARGEST),
        gpu_utilization_percent=limit("gpu_utilization_percent", PERCENT),
        cpu_percent=limit("cpu_percent", PERCENT),
        memory_percent=limit("memory_percent", PERCENT),
    )


def _reason(f: _Fields) -> NodeReason:
    code = f.text("code")
    if code not in frozenset(NodeReasonCode):
        f.fail("code", "is not a known reason")
    return NodeReason(
        code=code,
        message=f.text("message"),
        gpu=f.optional("gpu", f.count),
        value=f.optional("value", f.number),
        threshold=f.optional("threshold", f.number),
        unit=f.optional("unit", f.text),
    )


def _check_within(f: _Fields, part: float | None, total: float | None, name: str) -> None:
    if part is not None and total is not None and part > total:
        f.fail(name, "is more than the total")


def _check_consistent(s: NodeSnapshot) -> None:
    """A verdict that its own numbers cannot carry is a lie, or a bug: refuse it."""
    uuids = [gpu.uuid for gpu in s.gpus]
    if not NODE_NAME.fullmatch(s.node):
        raise InvalidSnapshot("node of the snapshot is not a host name.")
    if len(set(uuids)) != len(uuids):
        raise InvalidSnapshot("two GPUs of the snapshot have the same uuid.")
    if any(gpu.available and _is_unknown(gpu, s.thresholds) for gpu in s.gpus):
        raise InvalidSnapshot(
            "a GPU is called available although its utilisation or free memory is unknown."
        )
    if s.available and not _host_known(s):
        raise InvalidSnapshot(
            "the node is called available although its age, CPU or memory is unknown."
        )
    if s.available and s.gpus and not any(gpu.available for gpu in s.gpus):
        raise InvalidSnapshot("the node is called available although none of its GPUs is.")
    if not s.available and not s.reasons:
        raise InvalidSnapshot("the node is called unavailable without a reason.")


def _is_unknown(gpu: Gpu, limits: Thresholds) -> bool:
    """Unknown never passes; only a threshold that is off needs no number (MIG reports no utilisation)."""
    memory_unknown = gpu.memory_free_mb is None or gpu.memory_total_mb is None
    utilization_unknown = gpu.utilization_percent is None
    return (memory_unknown and limits.gpu_memory_free_mb is not None) or (
        utilization_unknown and limits.gpu_utilization_percent is not None
    )


def _host_known(s: NodeSnapshot) -> bool:
    cpu_known = s.cpu.usage_percent is not None or s.thresholds.cpu_percent is None
    memory_known = s.memory.usage_percent is not None or s.thresholds.memory_percent is None
    return s.age_s is not None and cpu_known and memory_known
