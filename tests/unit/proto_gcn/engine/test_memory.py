"""Running out of memory: the error and the remedy in each place where it happens."""

import pytest
import torch

from proto_gcn.engine import device
from proto_gcn.errors import BusyError, TrainerError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_running_out_of_memory_is_recognised_in_all_its_forms(error: Exception) -> None:
    assert device.is_out_of_memory(error)
    sentence = r"^out of memory: do this; the last checkpoint is kept$"
    with pytest.raises(TrainerError, match=sentence), device.memory_advice("do this"):
        raise error


def test_other_errors_are_left_alone() -> None:
    for error in (RuntimeError("something else"), ValueError("out of memory")):
        assert not device.is_out_of_memory(error)
        with pytest.raises(type(error)), device.memory_advice("x"), device.first_allocation(GPU):
            raise error


def test_a_gpu_that_refuses_the_weights_is_in_use_and_a_cpu_is_not() -> None:
    for text in (
        "CUDA error: out of memory",
        "CUDA error: all CUDA-capable devices are busy or unavailable",
    ):
        with pytest.raises(BusyError, match="no memory left"), device.first_allocation(GPU):
            raise RuntimeError(text)
    with pytest.raises(RuntimeError, match="can't allocate"), device.first_allocation(CPU):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_a_killed_worker_is_reported_as_a_lack_of_memory() -> None:
    sentence = r"loader was killed \(.*Killed\.\): give it more memory, or lower"
    with pytest.raises(TrainerError, match=sentence), device.memory_advice("x"):
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")


@pytest.mark.parametrize(
    ("batch", "parts", "advice"),
    [
        (16, 2, "halve data.videos_per_gpu (16 -> 8) and optimizer.lr with it, "
                "or keep both and double engine.accumulate (2 -> 4)"),
        (3, 2, "halve data.videos_per_gpu (3 -> 1) and optimizer.lr with it"),
        (1, 1, "a batch of one sample does not fit; "
               "set engine.recompute to blocks or halve data.clip_len"),
    ],
)  # fmt: skip
def test_what_makes_a_step_smaller(batch: int, parts: int, advice: str) -> None:
    assert device.smaller_step(batch, parts) == advice


@pytest.mark.parametrize(
    ("clips", "batch", "advice"),
    [
        (1, 16, "halve data.videos_per_gpu (16 -> 8), which evaluation uses too"),
        (4, 8, "halve data.videos_per_gpu (8 -> 4), which evaluation uses too"),
        (10, 16, "halve data.test_clips (10 -> 5)"),
        (1, 1, "one clip does not fit; halve data.clip_len"),
    ],
)
def test_what_makes_scoring_smaller(clips: int, batch: int, advice: str) -> None:
    assert device.smaller_evaluation("test_clips", clips, batch) == advice
