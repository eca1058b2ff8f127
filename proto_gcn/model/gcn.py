"""The graph unit: joints exchange features over a topology that is learnt and refined per sample."""

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from proto_gcn.model.fused.norm import batch_norm, conv_norm, conv_norm_relu_then, folds
from proto_gcn.model.fused.pointwise import ConvNorm, convolved, pointwise
from proto_gcn.model.refinement import Factors, factors, mix, topology

Scales = Literal["first", "each"]


class GraphOutput(NamedTuple):
    """features [R, C, T, V]; pooled [R, Cin, 1, V], the input's mean over time, which the topology comes from."""

    features: Tensor
    pooled: Tensor


class GraphUnit(nn.Module):
    """[R, Cin, T, V] -> [R, C, T, V] over K subsets of mid = int(C * ratio) channels each (refinement.py).

    scales "first" uses alpha[0] and beta[0] for all K subsets, a published quirk that published weights rely on;
    "each" gives every subset its own.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        adjacency: Tensor,
        ratio: float = 0.125,
        scales: Scales = "first",
        scale_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.subsets, self.scales = len(adjacency), scales
        hidden = int(channels * ratio) * self.subsets
        self.A = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.full((self.subsets,), scale_init))
        self.beta = nn.Parameter(torch.full((self.subsets,), scale_init))
        self.pre = ConvNorm(nn.Conv2d(in_channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU())
        self.post = nn.Conv2d(hidden, channels, 1)
        self.conv1 = nn.Conv2d(in_channels, hidden, 1)
        self.conv2 = nn.Conv2d(in_channels, hidden, 1)
        self.down: ConvNorm | nn.Identity = nn.Identity()
        if in_channels != channels:
            self.down = ConvNorm(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, copies: int = 1) -> GraphOutput:
        """The last of the R rows counts `copies` times in the batch statistics."""
        pooled = x.mean(dim=2, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        mixing, residual = partial(mix, self._factors(pooled, self.A)), self._residual(x, copies)
        if folds(self.bn):
            mixed = conv_norm_relu_then([mixing], self.pre, x)
            return GraphOutput(conv_norm(self.post, self.bn, mixed, 1, residual, relu=True), pooled)
        post = conv_norm_relu_then([mixing, partial(convolved, self.post)], self.pre, x, copies)
        return GraphOutput(
            batch_norm(self.bn, post, copies, self.post.bias, residual, relu=True), pooled
        )

    def topology(self, pooled: Tensor, whole: bool = False) -> Tensor:
        """pooled [R, Cin, 1, V] -> [R, K*mid, V, V], indexed [from v, to w]: the sample's own part, or with A."""
        return topology(self._factors(pooled, self.A if whole else None))

    def _factors(self, pooled: Tensor, adjacency: Tensor | None) -> Factors:
        """Never in half precision. The mean over time commutes with conv1 and conv2; before them it is cheaper."""
        with torch.autocast(pooled.device.type, enabled=False):
            a, b = (self._joint_features(conv, pooled) for conv in (self.conv1, self.conv2))
            return factors(a, b, self._scale(self.alpha), self._scale(self.beta), adjacency)

    def _joint_features(self, conv: nn.Conv2d, pooled: Tensor) -> Tensor:
        return pointwise(pooled, conv.weight, conv.bias).squeeze(2).unflatten(1, (self.subsets, -1))

    def _scale(self, scale: Tensor) -> Tensor:
        return scale[:1].expand(self.subsets) if self.scales == "first" else scale

    def _residual(self, x: Tensor, copies: int) -> Tensor:
        if isinstance(self.down, nn.Identity):
            return x
        return conv_norm(self.down.conv, self.down.norm, x, copies)
