"""The graph unit, fused: the topology is made where it is used, and the mean frame comes first."""

from functools import partial

import torch
from torch import Tensor, nn

from proto_gcn.model.backbone import at_least_float32
from proto_gcn.model.fused.operations.norm import batch_norm, conv_norm, conv_norm_relu_then, folds
from proto_gcn.model.fused.operations.pointwise import ConvNorm, conv_and_norm, convolved, pointwise
from proto_gcn.model.fused.operations.refinement import Factors, factors, mix, topology
from proto_gcn.model.gcn import GraphUnit


class FusedGraphUnit(GraphUnit):
    """Map x [R, Cin, T, V] to [R, C, T, V]; the last of the R rows may stand for several persons.

    Beside the features it returns the input's mean over time, from which `topology` can be made
    again, instead of the topology itself.
    """

    def forward(self, x: Tensor, copies: int = 1) -> tuple[Tensor, Tensor]:
        """Return features [R, C, T, V] and pooled [R, Cin, 1, V].

        The last row counts `copies` times in the batch statistics.
        """
        pooled = x.mean(dim=2, keepdim=True, dtype=at_least_float32(x))
        mixing, pre = partial(mix, self._factors(pooled, self.A)), conv_and_norm(self.pre)
        residual = self._residual(x, copies)
        if folds(self.bn):
            mixed = conv_norm_relu_then([mixing], pre, x)
            return conv_norm(ConvNorm(self.post, self.bn), mixed, 1, residual, relu=True), pooled
        post = conv_norm_relu_then([mixing, partial(convolved, self.post)], pre, x, copies)
        return batch_norm(self.bn, post, copies, self.post.bias, residual, relu=True), pooled

    def topology(self, pooled: Tensor, whole: bool = False) -> Tensor:
        """Return [R, K*mid, V, V] from pooled [R, Cin, 1, V]: the rows' own part, or with A."""
        return topology(self._factors(pooled, self.A if whole else None))

    def _factors(self, pooled: Tensor, adjacency: Tensor | None) -> Factors:
        """Return what the topology is made of, never in half precision.

        The mean over time commutes with conv1 and conv2; before them it is cheaper.
        """
        with torch.autocast(pooled.device.type, enabled=False):
            a, b = (self._joint_features(conv, pooled) for conv in (self.conv1, self.conv2))
            return factors(a, b, *self.factors(), adjacency)

    def _joint_features(self, conv: nn.Conv2d, pooled: Tensor) -> Tensor:
        return pointwise(pooled, conv.weight, conv.bias).squeeze(2).unflatten(1, (self.subsets, -1))

    def _residual(self, x: Tensor, copies: int) -> Tensor:
        if isinstance(self.down, nn.Identity):
            return x
        return conv_norm(conv_and_norm(self.down), x, copies)
