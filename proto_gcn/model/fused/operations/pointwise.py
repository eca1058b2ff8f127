"""1x1 convolutions as matrix products, which avoids copies into a convolution's memory layouts."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class ConvNorm(NamedTuple):
    """A 1x1 convolution and the batch norm after it."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d


def conv_and_norm(layers: nn.Module) -> ConvNorm:
    """Return the first two layers of a Sequential that begins with a convolution and its norm."""
    assert isinstance(layers, nn.Sequential)
    conv, norm = layers[0], layers[1]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return ConvNorm(conv, norm)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Map x [R, C, T, V] by weight [D, C, 1, 1] to [R, D, T, V], in autocast's type if it is on."""
    result: Tensor = _Pointwise.apply(_in_autocast_type(x), weight.flatten(1), bias)
    return result


def folded(x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None = None) -> Tensor:
    """Return pointwise(x, weight, bias) + residual, for evaluation.

    There PyTorch's own convolution is the faster one.
    """
    x = _in_autocast_type(x)
    out = functional.conv2d(x.contiguous(), weight.to(x.dtype), bias.to(x.dtype))
    return out if residual is None else out.add_(residual)


def convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply a 1x1 convolution with its stride over time but without its bias.

    A batch norm follows, which takes the bias as its shift (norm.batch_norm).
    """
    assert isinstance(conv, nn.Conv2d)
    step = conv.stride[0]
    return pointwise(x if step == 1 else x[:, :, ::step], conv.weight)


class _Pointwise(torch.autograd.Function):
    """x [R, C, ...], weight [D, C], bias [D] -> [R, D, ...].

    The gradients of the parameters have the parameters' type.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        y = torch.bmm(_for_each_row(weight, x), x.flatten(2)).unflatten(2, x.shape[2:])
        return y if bias is None else y.add_(bias.to(y.dtype)[:, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        flat = grad.flatten(2)
        to_x, to_weight, to_bias = None, None, None
        if ctx.needs_input_grad[0]:
            to_x = torch.bmm(_for_each_row(weight.t(), x), flat).view_as(x)
        if ctx.needs_input_grad[1]:
            to_weight = torch.bmm(flat, x.flatten(2).transpose(1, 2)).sum(0, dtype=weight.dtype)
        if ctx.has_bias:
            to_bias = flat.sum((0, 2), dtype=weight.dtype)
        return to_x, to_weight, to_bias


def _in_autocast_type(x: Tensor) -> Tensor:
    kind = x.device.type
    autocast = torch.is_autocast_enabled(kind) and x.dtype == torch.float32
    return x.to(torch.get_autocast_dtype(kind)) if autocast else x


def _for_each_row(matrix: Tensor, x: Tensor) -> Tensor:
    return matrix.to(x.dtype).expand(len(x), -1, -1)
