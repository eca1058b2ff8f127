"""The device that a run computes on: whether it is free, its threads, running out of memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from proto_gcn.engine.processes.group import Group
from proto_gcn.engine.reporting.telemetry import Gpu, Sample
from proto_gcn.errors import BusyError, ConfigError, TrainerError, first_line

CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")
#: What CUDA, the CPU's allocator, and cuBLAS and cuDNN write.
_EXHAUSTED = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")
_WORKER_ENDED = "DataLoader worker (pid"


def pick_device(
    sample: Sample, busy_percent: float | None, group: Group | None = None
) -> torch.device:
    """Return this process's GPU if there is one, else the CPU.

    Raises BusyError if another program uses the GPU to busy_percent or more (None: any use is
    allowed), and ConfigError if there are more processes than GPUs.
    """
    group = group or Group()
    if not torch.cuda.is_available():
        threads = os.environ.get("OMP_NUM_THREADS") or max(1, cpu_threads() // group.local_size)
        torch.set_num_threads(int(threads))
        return torch.device("cpu")
    for gpu in sample.gpus[group.local_rank : group.local_rank + 1]:
        _check_free(gpu, busy_percent)
    return torch.device("cuda") if group.local_size == 1 else _own_gpu(group)


def _check_free(gpu: Gpu, busy_percent: float | None) -> None:
    used = gpu.utilization_percent
    if busy_percent is None or used is None or used < busy_percent:
        return
    raise BusyError(
        f"GPU {gpu.index} is in use by another program "
        f"({used:.0f} %, the limit is {busy_percent:g} %)"
    )


def _own_gpu(group: Group) -> torch.device:
    count = torch.cuda.device_count()
    if group.local_rank >= count:
        raise ConfigError(
            f"process {group.local_rank} has no GPU of its own: "
            f"{group.local_size} processes, {count} GPUs"
        )
    torch.cuda.set_device(group.local_rank)
    return torch.device("cuda", group.local_rank)


def require_gpu() -> None:
    """Raise TrainerError if no GPU can be used, although one was promised to this training."""
    if not torch.cuda.is_available():
        raise TrainerError(
            f"a GPU was promised (REQUIRE_GPU=true), but PyTorch {torch.__version__} cannot use "
            "one here: fix the node (nvidia-smi) or, on Kubernetes, set runtimeClassName: nvidia "
            "in the template's podSpecPatch, then retry"
        )


def cpu_threads() -> int:
    """Return one fewer than the CPUs that affinity and the container's quota allow.

    torch does not read the quota. All threads wait for the slowest at every operation: one that
    shares its CPU with the queue would slow them all.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = CGROUP_CPU.read_text().split()
        allowed = min(allowed, int(quota) // int(period))
    except (OSError, ValueError):
        pass  # no cgroup v2, or no quota ("max")
    return max(1, allowed - 1)


def describe(device: torch.device) -> str:
    """Return the device in words, for the first line of the log."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"the CPU ({threads} thread{'s' if threads > 1 else ''})"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory of the GPU or of the machine ran out.

    CUDA's libraries have different words for it.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _EXHAUSTED)


@contextmanager
def first_allocation(device: torch.device) -> Iterator[None]:
    """Raise BusyError if a GPU has no room even for the weights: another program uses it."""
    try:
        yield
    except RuntimeError as error:
        if device.type == "cuda" and (
            is_out_of_memory(error) or "busy or unavailable" in str(error)
        ):
            raise BusyError(
                "the GPU has no memory left for the model: another program is using it"
            ) from error
        raise


@contextmanager
def memory_advice(remedy: str, kept: str = "; the last checkpoint is kept") -> Iterator[None]:
    """Turn running out of memory into a TrainerError with the remedy, and with what is kept."""
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
    """Return how a training step of `batch` samples in `parts` can take less memory."""
    if batch == 1:
        remedy = "set engine.recompute to blocks or halve data.clip_len"
        return f"a batch of one sample does not fit; {remedy}"
    halve = f"halve data.videos_per_gpu ({batch} -> {batch // 2}) and optimizer.lr with it"
    if parts * 2 > batch:
        return halve
    return f"{halve}, or keep both and double engine.accumulate ({parts} -> {parts * 2})"


def smaller_evaluation(key: str, clips: int, batch: int) -> str:
    """Return how evaluation can take less memory.

    It scores `clips` (the config's data.`key`) of each sample, at most `batch` clips at once.
    """
    if batch // clips > 1:
        return f"halve data.videos_per_gpu ({batch} -> {batch // 2}), which evaluation uses too"
    if clips > 1:
        return f"halve data.{key} ({clips} -> {clips // 2})"
    return "one clip does not fit; halve data.clip_len"
