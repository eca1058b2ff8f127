"""Max pooling over time as maxima of shifted frames: no index tensor, a fraction of the time."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from proto_gcn.model.fused.operations.out_variant import write_into


def max_over_time(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Map x [R, C, T, V] to [R, C, ceil(T / stride), V].

    Of equal frames the first gets the gradient, as in PyTorch.
    """
    pooled: Tensor = _MaxOverTime.apply(x, kernel, stride)
    return pooled


def _window(frames: int, shift: int, stride: int) -> tuple[slice, slice]:
    """Return which outputs t see the frame t * stride + shift, and which frames these are."""
    first = -(-max(0, -shift) // stride)
    last = min(-(-frames // stride), (frames - 1 - shift) // stride + 1)
    start = first * stride + shift
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)


class _MaxOverTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int) -> Tensor:
        reach = kernel // 2
        shifts = [shift for shift in range(-reach, reach + 1) if abs(shift) < x.shape[2]]
        ctx.windows = [_window(x.shape[2], shift, stride) for shift in shifts]
        out = x[:, :, ::stride].clone()
        for outputs, frames in ctx.windows:
            seen = out[:, :, outputs]
            write_into(seen, torch.maximum, seen, x[:, :, frames])
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        x, out = ctx.saved_tensors
        to_x, remaining = torch.zeros_like(x), grad.clone()
        for outputs, frames in ctx.windows:
            chosen = (x[:, :, frames] == out[:, :, outputs]) * remaining[:, :, outputs]
            to_x[:, :, frames] += chosen
            remaining[:, :, outputs] -= chosen
        return to_x, None, None
