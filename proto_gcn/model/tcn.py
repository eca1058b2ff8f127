"""The temporal unit: parallel convolutions over time with different reach, plus the mean joint as a global context."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from proto_gcn.model.fused.mean_joint import fold_mean_joint, with_mean_joint
from proto_gcn.model.fused.norm import batch_norm, conv_norm, folded_weights, folds, norm_relu_then
from proto_gcn.model.fused.pointwise import ConvNorm, convolved, folded, pointwise
from proto_gcn.model.fused.time_max import max_over_time

Branch = Sequence[int | str] | str
PUBLISHED_COEFFICIENTS = (
    25  # also where a layout has 20 joints: published checkpoints have that shape
)


class TimeConv(nn.Module):
    """A convolution over time only; the published checkpoints name it `conv`."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(
            in_channels, channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TimeMax(nn.Module):
    """Max pooling over time."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return max_over_time(x, self.kernel, self.stride)


def make_branch(spec: Branch, in_channels: int, channels: int, stride: int) -> nn.Module:
    """`1x1`, `[max, kernel]` or `[kernel, dilation]`; halves T when stride is 2."""
    if spec == "1x1":
        return nn.Conv2d(in_channels, channels, 1, (stride, 1))
    reduce = nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU()
    first, second = spec[0], int(spec[1])
    if first == "max":
        return ConvNorm(*reduce, TimeMax(second, stride))
    return ConvNorm(*reduce, TimeConv(channels, channels, int(first), stride, dilation=second))


class TemporalUnit(nn.Module):
    """[R, C, T, V] -> [R, C, ceil(T / stride), V]; the first 1x1 convolutions of all branches are one product."""

    def __init__(
        self, channels: int, branches: Sequence[Branch], joints: int, stride: int = 1
    ) -> None:
        super().__init__()
        width = channels // len(branches)
        self.widths = [channels - width * (len(branches) - 1)] + [width] * (len(branches) - 1)
        self.stride = stride
        self.add_coeff = nn.Parameter(torch.zeros(max(joints, PUBLISHED_COEFFICIENTS)))
        self.branches = nn.ModuleList(
            make_branch(spec, channels, w, stride)
            for spec, w in zip(branches, self.widths, strict=True)
        )
        self.transform = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )
        self.bn = nn.BatchNorm2d(channels)

    def forward(
        self, x: Tensor, copies: int = 1, residual: Tensor | None = None, relu: bool = False
    ) -> Tensor:
        """relu(unit(x) + residual); the last of the R rows counts `copies` times in the batch statistics."""
        norm, _, conv = self.transform
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(conv, nn.Conv2d)
        branches = self._folded_branches(x) if folds(norm) else self._branches(x, copies)
        y = fold_mean_joint(branches, self.add_coeff[: x.shape[-1]])
        if folds(norm):
            return conv_norm(conv, self.bn, norm_relu_then([], norm, y), 1, residual, relu)
        y = norm_relu_then([partial(convolved, conv)], norm, y, copies)
        return batch_norm(self.bn, y, copies, conv.bias, residual, relu)

    def _branches(self, x: Tensor, copies: int) -> list[Tensor]:
        """One [R, width, T', V+1] per branch, in their order."""
        reduced, direct, sizes = self._kinds()
        first = [*(branch.conv for branch in reduced.values()), *direct.values()]
        columns = list(
            with_mean_joint(pointwise(x, torch.cat([conv.weight for conv in first])), sizes)
        )
        out: dict[int, Tensor] = {}
        if reduced:
            norms, shift = (
                [branch.norm for branch in reduced.values()],
                _biases(first[: len(reduced)]),
            )
            out |= norm_relu_then(
                [partial(self._over_time, reduced)], norms, columns.pop(0), copies, shift
            )
        for (i, conv), part in zip(direct.items(), columns, strict=True):
            out[i] = part[:, :, :: self.stride] + _biases([conv]).to(part.dtype)[:, None, None]
        return [out[i] for i in range(len(self.branches))]

    def _folded_branches(self, x: Tensor) -> list[Tensor]:
        """The same in evaluation, where the first batch norms and all biases go into the one product."""
        reduced, direct, sizes = self._kinds()
        pairs = [folded_weights(branch.conv, branch.norm) for branch in reduced.values()]
        weights = [*(weight for weight, _ in pairs), *(conv.weight for conv in direct.values())]
        biases = torch.cat(
            [*(bias for _, bias in pairs), *(_biases([conv]) for conv in direct.values())]
        )
        columns = list(with_mean_joint(folded(x, torch.cat(weights), biases), sizes))
        out = self._over_time(reduced, columns.pop(0).relu_()) if reduced else {}
        out |= {i: part[:, :, :: self.stride] for i, part in zip(direct, columns, strict=True)}
        return [out[i] for i in range(len(self.branches))]

    def _kinds(self) -> tuple[dict[int, ConvNorm], dict[int, nn.Conv2d], list[int]]:
        """Branches that reduce channels first, those that are one convolution, and the sizes of the parts of x."""
        reduced = {
            i: branch for i, branch in enumerate(self.branches) if isinstance(branch, ConvNorm)
        }
        direct = {
            i: branch for i, branch in enumerate(self.branches) if isinstance(branch, nn.Conv2d)
        }
        shared = [sum(self.widths[i] for i in reduced)] if reduced else []
        return reduced, direct, shared + [self.widths[i] for i in direct]

    def _over_time(self, branches: dict[int, ConvNorm], hidden: Tensor) -> dict[int, Tensor]:
        """What the branches make of their shares of the reduced channels."""
        shares = hidden.split([self.widths[i] for i in branches], dim=1)
        return {
            i: branch[3](share) for (i, branch), share in zip(branches.items(), shares, strict=True)
        }


def _biases(convs: Sequence[nn.Conv2d]) -> Tensor:
    return torch.cat([conv.bias for conv in convs if conv.bias is not None])
