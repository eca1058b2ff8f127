"""The topology of a graph unit with the gradients of its factors; it is never kept.

It is alpha tanh(a_v - b_w) + beta softmax_v(sum_m a_mv b_mw) + A, indexed [from v, to w] (see
proto_gcn/model/refinement.py). Each [V, V] belongs to one channel, which makes topologies as large
as features: the backward pass makes them again.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Factors(NamedTuple):
    """What a topology is made of: a, b [R, K, mid, V], alpha [K], and common [R, K, V, V].

    `common` is the same for all mid channels of a subset.
    """

    a: Tensor
    b: Tensor
    alpha: Tensor
    common: Tensor


def factors(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor, adjacency: Tensor | None) -> Factors:
    """Return the factors of a, b [R, K, mid, V], alpha, beta [K] and adjacency [K, V, V].

    Without an adjacency they make the sample's own part alone.
    """
    attention = torch.softmax(torch.einsum("rkmv,rkmw->rkvw", a, b), dim=-2)
    own = attention * beta[:, None, None]
    return Factors(a, b, alpha, own if adjacency is None else own + adjacency)


def topology(parts: Factors) -> Tensor:
    """Return the topology [R, K*mid, V, V]."""
    refined: Tensor = _Topology.apply(*parts)
    return refined.flatten(1, 2)


def mix(parts: Factors, hidden: Tensor) -> Tensor:
    """Return hidden [R, K*mid, T, V] times the topology of each channel, in hidden's type."""
    mixed: Tensor = _Mix.apply(hidden, *parts)
    return mixed


def _refined(parts: Factors) -> tuple[Tensor, Tensor]:
    """Return the topology and its tanh, both [R, K, mid, V, V]."""
    inter = (parts.a[..., :, None] - parts.b[..., None, :]).tanh_()
    return torch.addcmul(parts.common.unsqueeze(2), inter, parts.alpha.view(-1, 1, 1, 1)), inter


def _to_factors(grad: Tensor, inter: Tensor, alpha: Tensor) -> tuple[Tensor, ...]:
    """Map the gradient of a topology to those of its factors."""
    weighted = grad * inter
    to_alpha = weighted.sum((0, 2, 3, 4))
    # d tanh = 1 - tanh^2
    to_difference = torch.addcmul(grad, weighted, inter, value=-1).mul_(alpha.view(-1, 1, 1, 1))
    return to_difference.sum(-1), to_difference.sum(-2).neg_(), to_alpha, grad.sum(2)


class _Topology(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(*parts)
        return _refined(Factors(*parts))[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        parts = Factors(*ctx.saved_tensors)
        return _to_factors(grad, _refined(parts)[1], parts.alpha)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, *parts)
        refined, _ = _refined(Factors(*parts))
        return hidden @ refined.flatten(1, 2).to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        hidden, *saved = ctx.saved_tensors
        parts = Factors(*saved)
        refined, inter = _refined(parts)
        to_hidden = grad @ refined.flatten(1, 2).to(grad.dtype).transpose(-1, -2)
        to_refined = (hidden.transpose(-1, -2) @ grad).to(inter.dtype).view_as(inter)
        return to_hidden, *_to_factors(to_refined, inter, parts.alpha)
