"""Sums over the processes that train together: as if one process had the whole batch.

DistributedDataParallel averages gradients over W processes, each of which starts from the mean
loss of its share. A gradient that crosses processes is therefore a plain sum: that average divides
it by W.
"""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable


def count() -> int:
    """Return the number of processes that train together; 1 outside a process group."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def summed(value: Tensor) -> Tensor:
    """Return the sum over all processes, each of which must call this; so is the gradient."""
    if count() == 1:
        return value
    total: Tensor = _Summed.apply(value)
    return total


def gathered(value: Tensor) -> Tensor:
    """Map [...] to [processes, ...], without a gradient."""
    everyone = [torch.empty_like(value) for _ in range(count())]
    distributed.all_gather(everyone, value.contiguous())
    return torch.stack(everyone)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _total(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _total(grad)


def _total(value: Tensor) -> Tensor:
    total = value.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total
