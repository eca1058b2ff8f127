"""The device a run computes on: whether it is free, how many threads it gets, what running out of memory means."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from proto_gcn.engine.telemetry import Sample
from proto_gcn.errors import BusyError, TrainerError

CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


def pick_device(sample: Sample, busy_percent: float | None) -> torch.device:
    """CUDA where there is one, else the CPU; raises BusyError where somebody else computes on that GPU."""
    if not torch.cuda.is_available():
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or cpu_threads()))
        return torch.device("cpu")
    for gpu in sample.gpus[:1]:  # we compute on the first one that we may see
        if busy_percent is not None and gpu.utilization_percent is not None and gpu.utilization_percent >= busy_percent:
            use = f"{gpu.utilization_percent:.0f} %"
            raise BusyError(f"GPU {gpu.index} is in use by somebody else ({use}, the limit is {busy_percent:g} %)")
    return torch.device("cuda")


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


@contextmanager
def first_allocation() -> Iterator[None]:
    """A GPU that refuses even the weights is taken: raises BusyError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "busy or unavailable" in str(error):
            raise BusyError("the GPU has no memory left for the model: somebody else is using it") from error
        raise


@contextmanager
def memory_advice(batch: int) -> Iterator[None]:
    """Running out of memory while training says which setting to halve."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not exhausted:
            raise
        advice = f"halve data.videos_per_gpu ({batch} -> {max(1, batch // 2)}) and optimizer.lr with it"
        raise TrainerError(f"out of memory: {advice}; the last checkpoint is kept") from error
