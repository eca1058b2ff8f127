"""The arithmetic of batch norm, fused with a residual and a ReLU, and its gradients."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from proto_gcn.model.fused.operations import all_reduce
from proto_gcn.model.fused.operations.recompute import Recipe


class Scale(NamedTuple):
    """What a batch is normalised with, each [C]; training: mean and variance are the batch's."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    training: bool
    eps: float

    def detached(self) -> "Scale":
        """Return the same values without gradients."""
        return self._replace(
            weight=self.weight.detach(),
            bias=self.bias.detach(),
            mean=self.mean.detach(),
            variance=self.variance.detach(),
        )


class How(NamedTuple):
    """The last row counts `copies` times; a result with a recipe is not kept for backward."""

    copies: int
    scale: Scale
    relu: bool
    recipe: Recipe | None = None


class Given(NamedTuple):
    """What the backward pass starts from: x [R, C, ...] and the rest [C]."""

    x: Tensor
    weight: Tensor
    mean: Tensor
    variance: Tensor
    inverse: Tensor  # 1 / std


def normalised(x: Tensor, shift: Tensor | None, residual: Tensor | None, how: How) -> Tensor:
    """Return relu(weight (x + shift - mean) / std + bias + residual), differentiable."""
    result: Tensor = _Normalise.apply(how, x, how.scale.weight, how.scale.bias, shift, residual)
    return result


def normalised_values(
    x: Tensor,
    scale: Scale,
    shift: Tensor | None,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Return the values of `normalised`, without gradients."""
    mean = _unshifted_mean(scale, shift)
    out: Tensor = torch.native_batch_norm(
        x, scale.weight, scale.bias, mean, scale.variance, False, 0.0, scale.eps
    )[0]
    if residual is not None:
        out.add_(residual)
    return out.relu_() if relu else out


def _unshifted_mean(scale: Scale, shift: Tensor | None) -> Tensor:
    """Return the mean of x without the shift, which a batch mean never contains."""
    return scale.mean if shift is None or scale.training else scale.mean - shift


class _Normalise(torch.autograd.Function):
    """how, then x, weight, bias, shift, residual; `how.scale` has weight and bias once more."""

    @staticmethod
    def forward(ctx: Any, how: How, *tensors: Any) -> Tensor:
        x, weight, _, shift, residual = tensors
        out = normalised_values(x, how.scale, shift, residual, how.relu)
        mean = _unshifted_mean(how.scale, shift)
        kept_out = out if how.relu and how.recipe is None else None
        ctx.how = how
        ctx.has_shift = shift is not None
        ctx.has_residual = residual is not None
        ctx.save_for_backward(x, weight, mean, how.scale.variance, kept_out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, out = ctx.saved_tensors
        scale = ctx.how.scale
        if ctx.how.relu:
            out = out if ctx.how.recipe is None else ctx.how.recipe.take()
            grad = torch.ops.aten.threshold_backward(grad, out, 0)
        grad = grad.contiguous()
        inverse = torch.rsqrt(variance + scale.eps)
        given = Given(x, weight, mean, variance, inverse)
        to_x, to_weight, to_bias = _gradients(grad, given, ctx.how)
        to_shift = None
        if ctx.has_shift:
            to_shift = to_bias * 0 if scale.training else to_bias * weight * inverse
        return None, to_x, to_weight, to_bias, to_shift, grad if ctx.has_residual else None


Gradients = tuple[Tensor, Tensor, Tensor]


def _gradients(grad: Tensor, given: Given, how: How) -> Gradients:
    """Return those of x, weight and bias; that of the last row is the sum over its copies.

    With N values per channel (copies counted) and n computed, the native kernel's means over n
    become means over N by the factor n/N, which goes into its weight; what it thereby takes from
    the first term is put back.
    """
    training = how.scale.training
    if training and all_reduce.count() > 1:
        return _gradients_over_processes(grad, given, how)
    x = given.x
    share = len(x) / (len(x) + how.copies - 1) if training else 1.0
    to_x, to_weight, to_bias = _native(grad, given, given.weight * share, how)
    if share < 1:
        scale = _per_channel(given.weight * given.inverse, x)
        to_x.addcmul_(grad, scale * (1 - share))
        to_x[-1:] = to_x[-1:] * how.copies - grad[-1:] * scale * (how.copies - 1)
    return to_x, to_weight, to_bias


def _gradients_over_processes(grad: Tensor, given: Given, how: How) -> Gradients:
    """Return to_x = weight / std (grad - mean(grad) - x^ mean(grad x^)), x^ = (x - mean) / std.

    The means run over all processes. In eval mode the native kernel makes the first term,
    sum(grad x^) and sum(grad); the means need the other processes' sums as well. The gradients of
    weight and bias stay this process's own, for DistributedDataParallel to average.
    """
    x, weight, mean, _, inverse = given
    evaluated = how._replace(scale=how.scale._replace(training=False))
    to_x, to_weight, to_bias = _native(grad, given, weight, evaluated)
    values = all_reduce.count() * (len(x) + how.copies - 1) * x[0, 0].numel()
    product, level = all_reduce.summed(torch.stack([to_weight, to_bias])) / values
    slope = weight * inverse**2 * product
    offset = _per_channel(weight * inverse * level - mean * slope, x)
    taken = torch.addcmul(offset, x, _per_channel(slope, x))
    taken[-1:] *= how.copies
    return to_x.sub_(taken), to_weight, to_bias


def _native(grad: Tensor, given: Given, weight: Tensor, how: How) -> Gradients:
    """Return the native kernel's gradients of x, weight and bias."""
    x, _, mean, variance, inverse = given
    statistics = (mean, variance, mean, inverse, how.scale.training, how.scale.eps)
    found: Gradients = torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, *statistics, [True, True, True]
    )
    return found


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.to(x.dtype).view(-1, *[1] * (x.dim() - 2))
