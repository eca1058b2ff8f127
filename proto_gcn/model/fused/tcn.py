"""The temporal unit, fused: the first 1x1 convolutions of all branches are one product."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from proto_gcn.model.fused.operations.mean_joint import fold_mean_joint, with_mean_joint
from proto_gcn.model.fused.operations.norm import (
    batch_norm,
    conv_norm,
    folded_weights,
    folds,
    norm_relu_then,
)
from proto_gcn.model.fused.operations.pointwise import (
    ConvNorm,
    conv_and_norm,
    convolved,
    folded,
    pointwise,
)
from proto_gcn.model.fused.operations.time_max import max_over_time
from proto_gcn.model.tcn import TemporalUnit


class Kinds(NamedTuple):
    """The branches by number: `reduced` narrow their channels first, `direct` are one convolution.

    `sizes` are the shares of the channels: one for all reduced branches, then one a direct branch.
    """

    reduced: dict[int, ConvNorm]
    direct: dict[int, nn.Conv2d]
    sizes: list[int]


class FusedTemporalUnit(TemporalUnit):
    """The plain unit with its batch norms, residual and last ReLU fused."""

    def forward(
        self, x: Tensor, copies: int = 1, residual: Tensor | None = None, relu: bool = False
    ) -> Tensor:
        """Map x [R, C, T, V] to relu(unit(x) + residual) [R, C, T', V].

        The last of the R rows counts `copies` times in the batch statistics.
        """
        norm, _, conv = self.transform
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(conv, nn.Conv2d)
        branches = self._folded_branches(x) if folds(norm) else self._branches(x, copies)
        y = fold_mean_joint(branches, self.add_coeff[: x.shape[-1]])
        if folds(norm):
            hidden = norm_relu_then([], norm, y)
            return conv_norm(ConvNorm(conv, self.bn), hidden, 1, residual, relu)
        y = norm_relu_then([partial(convolved, conv)], norm, y, copies)
        return batch_norm(self.bn, y, copies, conv.bias, residual, relu)

    def _branches(self, x: Tensor, copies: int) -> list[Tensor]:
        """Return one [R, width, T', V+1] per branch, in their order."""
        reduced, direct, sizes = self._kinds()
        convs = [*(pair.conv for pair in reduced.values()), *direct.values()]
        product = pointwise(x, torch.cat([conv.weight for conv in convs]))
        columns = list(with_mean_joint(product, sizes))
        out: dict[int, Tensor] = {}
        if reduced:
            norms = [pair.norm for pair in reduced.values()]
            shift, over_time = _biases(convs[: len(reduced)]), partial(self._over_time, reduced)
            out |= norm_relu_then([over_time], norms, columns.pop(0), copies, shift)
        for (i, conv), part in zip(direct.items(), columns, strict=True):
            out[i] = part[:, :, :: self.stride] + _biases([conv]).to(part.dtype)[:, None, None]
        return [out[i] for i in range(len(self.branches))]

    def _folded_branches(self, x: Tensor) -> list[Tensor]:
        """Do the same in evaluation: the first norms and all biases go into the one product."""
        reduced, direct, sizes = self._kinds()
        pairs = [folded_weights(pair) for pair in reduced.values()]
        pairs += [(conv.weight, _biases([conv])) for conv in direct.values()]
        weight, bias = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
        columns = list(with_mean_joint(folded(x, weight, bias), sizes))
        out = self._over_time(reduced, columns.pop(0).relu_()) if reduced else {}
        out |= {i: part[:, :, :: self.stride] for i, part in zip(direct, columns, strict=True)}
        return [out[i] for i in range(len(self.branches))]

    def _kinds(self) -> Kinds:
        reduced: dict[int, ConvNorm] = {}
        direct: dict[int, nn.Conv2d] = {}
        for i, branch in enumerate(self.branches):
            if isinstance(branch, nn.Conv2d):
                direct[i] = branch
            else:
                reduced[i] = conv_and_norm(branch)
        shared = [sum(self.widths[i] for i in reduced)] if reduced else []
        return Kinds(reduced, direct, shared + [self.widths[i] for i in direct])

    def _over_time(self, reduced: dict[int, ConvNorm], hidden: Tensor) -> dict[int, Tensor]:
        """Apply the last layer of each branch to its share of the reduced channels."""
        shares = hidden.split([self.widths[i] for i in reduced], dim=1)
        return {i: _last(self.branches[i], share) for i, share in zip(reduced, shares, strict=True)}


def _last(branch: nn.Module, x: Tensor) -> Tensor:
    """Apply the fourth layer of a branch, the convolution or max pooling over time."""
    assert isinstance(branch, nn.Sequential)
    layer = branch[3]
    if isinstance(layer, nn.MaxPool2d):
        kernel, stride = layer.kernel_size, layer.stride
        assert isinstance(kernel, tuple)
        assert isinstance(stride, tuple)
        return max_over_time(x, kernel[0], stride[0])
    result: Tensor = layer(x)
    return result


def _biases(convs: Sequence[nn.Conv2d]) -> Tensor:
    return torch.cat([conv.bias for conv in convs if conv.bias is not None])
