"""The device a run computes on: whether it is free, how many threads it gets, what running out of memory means."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from proto_gcn.engine.processes.group import Group
from proto_gcn.engine.reporting.telemetry import Sample
from proto_gcn.errors import BusyError, ConfigError, TrainerError, first_line

CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")
_EXHAUSTED = (
    "out of memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
)  # CUDA, CPU, cuBLAS and cuDNN
_WORKER_ENDED = "DataLoader worker (pid"


def pick_device(
    sample: Sample, busy_percent: float | None, group: Group | None = None
) -> torch.device:
    """This process's GPU where there is one, else the CPU; raises BusyError where somebody else computes on it."""
    place, processes = (group.local_rank, group.local_size) if group else (0, 1)
    if not torch.cuda.is_available():
        torch.set_num_threads(
            int(os.environ.get("OMP_NUM_THREADS") or max(1, cpu_threads() // processes))
        )
        return torch.device("cpu")
    for gpu in sample.gpus[place : place + 1]:
        if (
            busy_percent is not None
            and gpu.utilization_percent is not None
            and gpu.utilization_percent >= busy_percent
        ):
            use = f"{gpu.utilization_percent:.0f} %"
            raise BusyError(
                f"GPU {gpu.index} is in use by somebody else ({use}, the limit is {busy_percent:g} %)"
            )
    if processes == 1:
        return torch.device("cuda")
    if place >= torch.cuda.device_count():
        raise ConfigError(
            f"process {place} has no GPU of its own: {processes} processes, {torch.cuda.device_count()} GPUs"
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)


def require_gpu() -> None:
    """Raises TrainerError where no GPU can be used: a GPU that was promised is held for us, whatever we train on."""
    if not torch.cuda.is_available():
        raise TrainerError(
            f"a GPU was promised (REQUIRE_GPU=true), but PyTorch {torch.__version__} can use none here: mend the node "
            "(nvidia-smi) or, on Kubernetes, set runtimeClassName: nvidia in the template's podSpecPatch, then retry"
        )


def cpu_threads() -> int:
    """One fewer than the CPUs that affinity and the container's quota (which torch does not look at) allow.

    All threads wait for the slowest at every operation: one that shares its CPU with the queue slows them all.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = CGROUP_CPU.read_text().split()
        allowed = min(allowed, int(quota) // int(period))
    except (OSError, ValueError):
        pass  # no cgroup v2, or no quota ("max")
    return max(1, allowed - 1)


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"the CPU ({threads} thread{'s' if threads > 1 else ''})"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory of the GPU or of the machine was short; CUDA's libraries say so in words of their own."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _EXHAUSTED)


@contextmanager
def first_allocation(device: torch.device) -> Iterator[None]:
    """A GPU that refuses even the weights is taken: raises BusyError."""
    try:
        yield
    except RuntimeError as error:
        if device.type == "cuda" and (
            is_out_of_memory(error) or "busy or unavailable" in str(error)
        ):
            raise BusyError(
                "the GPU has no memory left for the model: somebody else is using it"
            ) from error
        raise


@contextmanager
def memory_advice(remedy: str, kept: str = "; the last checkpoint is kept") -> Iterator[None]:
    """Running out of memory becomes a TrainerError that says what to change, and what is left."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise TrainerError(f"out of memory: {remedy}{kept}") from error
        if _WORKER_ENDED in str(error):
            what = f"a worker of the data loader was killed ({first_line(error)})"
            remedy = "give it more memory, or lower data.workers_per_gpu"
            raise TrainerError(f"{what}: {remedy}{kept}") from error
        raise


def smaller_step(batch: int, parts: int) -> str:
    """What makes a training step of `batch` samples in `parts` need less memory."""
    if batch == 1:
        return "a batch of one sample does not fit; set engine.recompute to blocks or halve data.clip_len"
    halve = f"halve data.videos_per_gpu ({batch} -> {batch // 2}) and optimizer.lr with it"
    if parts * 2 > batch:
        return halve
    return f"{halve}, or keep both and double engine.accumulate ({parts} -> {parts * 2})"


def smaller_evaluation(key: str, clips: int, batch: int) -> str:
    """The same for scoring `clips` (the config's data.`key`) of each sample, `batch` clips at once at the most."""
    if batch // clips > 1:
        return f"halve data.videos_per_gpu ({batch} -> {batch // 2}), which evaluation takes too"
    if clips > 1:
        return f"halve data.{key} ({clips} -> {clips // 2})"
    return "one clip does not fit; halve data.clip_len"
