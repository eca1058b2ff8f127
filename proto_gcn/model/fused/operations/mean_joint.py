"""The mean over the joints as one more column, which passes through the temporal branches."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from proto_gcn.model.fused.operations.out_variant import write_into


def with_mean_joint(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Split x [R, C, T, V] into one contiguous [R, size, T, V+1] per size; the sizes add up to C.

    The plain unit appends the column before a 1x1 convolution. That commutes with the mean, so it
    is appended after it here.
    """
    return _WithMeanJoint.apply(x, tuple(sizes))


def fold_mean_joint(parts: Sequence[Tensor], coefficients: Tensor) -> Tensor:
    """Map parts [R, C_i, T, V+1] to [R, sum C_i, T, V].

    Every joint becomes itself plus its coefficient [V] times the mean joint.
    """
    folded: Tensor = _FoldMeanJoint.apply(coefficients, *parts)
    return folded


class _WithMeanJoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
        ctx.sizes = sizes
        parts = []
        for part in x.split(sizes, dim=1):
            wide = part.new_empty(*part.shape[:-1], part.shape[-1] + 1)
            wide[..., :-1] = part
            wide[..., -1] = part.mean(dim=-1)
            parts.append(wide)
        return tuple(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, _, frames, wide = grads[0].shape
        to_x = grads[0].new_empty(rows, sum(ctx.sizes), frames, wide - 1)
        for target, grad in zip(to_x.split(ctx.sizes, dim=1), grads, strict=True):
            write_into(target, torch.add, grad[..., :-1], grad[..., -1:], alpha=1 / (wide - 1))
        return to_x, None


class _FoldMeanJoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coefficients: Tensor, *parts: Tensor) -> Tensor:
        ctx.sizes = [part.shape[1] for part in parts]
        rows, _, frames, wide = parts[0].shape
        out = parts[0].new_empty(rows, sum(ctx.sizes), frames, wide - 1)
        scale = coefficients.to(out.dtype)
        for target, part in zip(out.split(ctx.sizes, dim=1), parts, strict=True):
            write_into(target, torch.addcmul, part[..., :-1], part[..., -1:], scale)
        ctx.save_for_backward(coefficients, torch.cat([part[..., -1] for part in parts], dim=1))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        coefficients, mean = ctx.saved_tensors
        to_mean = (grad @ coefficients.to(grad.dtype)).unsqueeze(-1)
        to_coefficients = (
            (mean.flatten()[None] @ grad.flatten(0, -2)).squeeze(0).to(coefficients.dtype)
        )
        to_parts = torch.cat([grad, to_mean], dim=-1).split(ctx.sizes, dim=1)
        return to_coefficients, *to_parts
