"""The arithmetic of batch normalisation, fused with a residual and a ReLU, and its gradients."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from proto_gcn.model.fused import all_reduce as processes
from proto_gcn.model.fused.recompute import Recipe


class Scale(NamedTuple):
    """weight, bias, mean and variance [C] that a batch is normalised with; training: they are the batch's own."""

    tensors: tuple[Tensor, Tensor, Tensor, Tensor]
    training: bool
    eps: float

    def detached(self) -> "Scale":
        weight, bias, mean, variance = (tensor.detach() for tensor in self.tensors)
        return self._replace(tensors=(weight, bias, mean, variance))


class How(NamedTuple):
    """The last row counts `copies` times; a result that has a recipe is not kept for the backward pass."""

    copies: int
    scale: Scale
    relu: bool
    recipe: Recipe | None = None


def normalised(x: Tensor, shift: Tensor | None, residual: Tensor | None, how: How) -> Tensor:
    """relu(weight (x + shift - mean) / std + bias + residual), differentiable."""
    result: Tensor = _Normalise.apply(x, *how.scale.tensors, shift, residual, how)
    return result


def plainly(
    x: Tensor,
    scale: Scale,
    shift: Tensor | None,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """The values of `normalised`."""
    weight, bias, _, variance = scale.tensors
    out: Tensor = torch.native_batch_norm(
        x, weight, bias, _mean(scale, shift), variance, False, 0.0, scale.eps
    )[0]
    if residual is not None:
        out.add_(residual)
    return out.relu_() if relu else out


def _mean(scale: Scale, shift: Tensor | None) -> Tensor:
    """Of x without shift, which a batch mean is anyway."""
    return scale.tensors[2] if shift is None or scale.training else scale.tensors[2] - shift


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        shift: Tensor | None,
        residual: Tensor | None,
        how: How,
    ) -> Tensor:
        out = plainly(x, how.scale, shift, residual, how.relu)
        mean = _mean(how.scale, shift)
        ctx.how, ctx.has_shift, ctx.has_residual = how, shift is not None, residual is not None
        ctx.save_for_backward(
            x, weight, mean, variance, out if how.relu and how.recipe is None else None
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, out = ctx.saved_tensors
        if ctx.how.relu:
            out = out if ctx.how.recipe is None else ctx.how.recipe.take()
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
        grad = grad.contiguous()
        to_x, to_weight, to_bias = _gradients(grad, x, weight, mean, variance, ctx.how)
        to_shift = None
        if ctx.has_shift:
            std = torch.sqrt(variance + ctx.how.scale.eps)
            to_shift = to_bias * 0 if ctx.how.scale.training else to_bias * weight / std
        return (
            to_x,
            to_weight,
            to_bias,
            None,
            None,
            to_shift,
            grad if ctx.has_residual else None,
            None,
        )


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, how: How
) -> tuple[Tensor, Tensor, Tensor]:
    """Of x, weight and bias; that of the last row is the sum over its copies.

    With N values per channel (copies counted) and n computed, the native kernel's means over n become means over N
    by the factor n/N, which goes into its weight; what it thereby takes from the first term is put back.
    """
    _, training, eps = how.scale
    inverse = torch.rsqrt(variance + eps)
    if training and processes.count() > 1:
        return _gradients_over_processes(grad, x, weight, mean, variance, how)
    share = len(x) / (len(x) + how.copies - 1) if training else 1.0
    to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
        grad, x, weight * share, mean, variance, mean, inverse, training, eps, [True, True, True]
    )
    if share < 1:
        scale = _per_channel(weight * inverse, x)
        to_x.addcmul_(grad, scale * (1 - share))
        to_x[-1:] = to_x[-1:] * how.copies - grad[-1:] * scale * (how.copies - 1)
    return to_x, to_weight, to_bias


def _gradients_over_processes(
    grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, variance: Tensor, how: How
) -> tuple[Tensor, Tensor, Tensor]:
    """With x^ = (x - mean) / std: to_x = weight / std (grad - mean(grad) - x^ mean(grad x^)), means over everything.

    In eval mode the native kernel makes the first term, sum(grad x^) and sum(grad); the means need the other
    processes' sums as well. The gradients of weight and bias stay this process's own, for DDP to average.
    """
    eps = how.scale.eps
    inverse = torch.rsqrt(variance + eps)
    to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, mean, variance, mean, inverse, False, eps, [True, True, True]
    )
    values = processes.count() * (len(x) + how.copies - 1) * x[0, 0].numel()
    product, level = processes.summed(torch.stack([to_weight, to_bias])) / values
    slope = weight * inverse**2 * product
    taken = torch.addcmul(
        _per_channel(weight * inverse * level - mean * slope, x), x, _per_channel(slope, x)
    )
    taken[-1:] *= how.copies
    return to_x.sub_(taken), to_weight, to_bias


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype).view(-1, *[1] * (x.dim() - 2))
