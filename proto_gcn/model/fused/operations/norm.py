"""Batch norm as the network uses it: after a 1x1 convolution, with a residual, before a ReLU."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from proto_gcn.model.fused.operations.batch_norm_function import (
    How,
    Scale,
    normalised,
    normalised_values,
)
from proto_gcn.model.fused.operations.pointwise import ConvNorm, convolved, folded
from proto_gcn.model.fused.operations.recompute import Recipe, chained, recomputes_activations
from proto_gcn.model.fused.operations.statistics import Norm, batch_statistics

Consumers = Sequence[Callable[[Tensor], Any]]


def batch_norm(
    norms: Norm | Sequence[Norm],
    x: Tensor,
    copies: int = 1,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """Return relu(norm(x + shift) + residual) for x [R, C, ...].

    The last row counts `copies` times. Several norms share the channels in their order. `shift` [C]
    is the bias of the convolution before. A batch mean takes it away again, so it is never added,
    and only the running mean sees it.
    """
    return normalised(x, shift, residual, How(copies, _scale(norms, x, copies, shift), relu))


def norm_relu_then(
    consumers: Consumers,
    norms: Norm | Sequence[Norm],
    x: Tensor,
    copies: int = 1,
    shift: Tensor | None = None,
) -> Any:
    """Pass relu(norm(x + shift)) through the consumers in turn.

    If activations are recomputed (recompute.py), no consumer keeps its input.
    """
    scale = _scale(norms, x, copies, shift)
    recipe = None
    if recomputes_activations():
        kept = None if shift is None else shift.detach()
        values = partial(normalised_values, x.detach(), scale.detached(), kept, relu=True)
        recipe = Recipe(values)
    how = How(copies, scale, True, recipe and recipe.promise())
    return chained(normalised(x, shift, None, how), recipe, consumers)


def conv_norm(
    pair: ConvNorm, x: Tensor, copies: int = 1, residual: Tensor | None = None, relu: bool = False
) -> Tensor:
    """Return relu(norm(conv(x)) + residual), as one product if nothing is learnt."""
    conv, norm = pair
    if not folds(norm):
        return batch_norm(norm, convolved(conv, x), copies, conv.bias, residual, relu)
    out = folded(x[:, :, :: conv.stride[0]], *folded_weights(pair), residual)
    return out.relu_() if relu else out


def conv_norm_relu_then(consumers: Consumers, pair: ConvNorm, x: Tensor, copies: int = 1) -> Any:
    """Pass relu(norm(conv(x))) through the consumers in turn."""
    if folds(pair.norm):
        return chained(conv_norm(pair, x, relu=True), None, consumers)
    return norm_relu_then(consumers, pair.norm, convolved(pair.conv, x), copies, pair.conv.bias)


def folds(norm: Norm) -> bool:
    """Return whether the norm can go into the convolution before it.

    It can in evaluation without gradients, where running statistics are constants.
    """
    return not norm.training and not torch.is_grad_enabled()


def folded_weights(pair: ConvNorm) -> tuple[Tensor, Tensor]:
    """Return weight [D, C, 1, 1] and bias [D] of norm(conv(x)) in eval mode."""
    conv, norm = pair
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    start = 0 if conv.bias is None else conv.bias
    return conv.weight * scale.view(-1, 1, 1, 1), (start - norm.running_mean) * scale + norm.bias


def _scale(norms: Norm | Sequence[Norm], x: Tensor, copies: int, shift: Tensor | None) -> Scale:
    """Return the statistics of this batch, and move the running ones; in eval mode, these."""
    parts = [norms] if isinstance(norms, nn.Module) else list(norms)
    training = parts[0].training
    if training:
        mean, variance, _ = batch_statistics(parts, x, copies, shift)
    else:
        mean = _joined([part.running_mean for part in parts])
        variance = _joined([part.running_var for part in parts])
    weight, bias = _joined([part.weight for part in parts]), _joined([part.bias for part in parts])
    return Scale(weight, bias, mean, variance, training, parts[0].eps)


def _joined(tensors: Sequence[Any]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
