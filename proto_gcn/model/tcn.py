"""The temporal unit: frames exchange features through parallel branches of different reach."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Branch = Sequence[int | str] | str
#: Published checkpoints have an `add_coeff` of this length also where a layout has 20 joints.
PUBLISHED_COEFFICIENTS = 25


class TimeConv(nn.Module):
    """A convolution over time only; published checkpoints name it `conv`."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(
            channels, channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, C, T, V] to [B, C, ceil(T / stride), V]."""
        return self.conv(x)


def make_branch(spec: Branch, in_channels: int, channels: int, stride: int) -> nn.Module:
    """Make the branch `1x1`, `[max, kernel]` or `[kernel, dilation]`; it divides T by stride."""
    if spec == "1x1":
        return nn.Conv2d(in_channels, channels, 1, (stride, 1))
    reduce = nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
    first, second = spec[0], int(spec[1])
    if first == "max":
        return nn.Sequential(*reduce, nn.MaxPool2d((second, 1), (stride, 1), (second // 2, 0)))
    return nn.Sequential(*reduce, TimeConv(channels, int(first), stride, dilation=second))


class TemporalUnit(nn.Module):
    """Map h [B, C, T, V] to [B, C, T', V] with T' = ceil(T / stride).

    The mean over the joints passes through the branches as one more joint. Each joint then gets it
    back, times a learnt coefficient of its own.
    """

    def __init__(
        self, channels: int, branches: Sequence[Branch], joints: int, stride: int = 1
    ) -> None:
        super().__init__()
        width = channels // len(branches)
        self.widths = [channels - width * (len(branches) - 1)] + [width] * (len(branches) - 1)
        self.stride = stride
        self.add_coeff = nn.Parameter(torch.zeros(max(joints, PUBLISHED_COEFFICIENTS)))
        self.branches = nn.ModuleList(
            make_branch(spec, channels, width, stride)
            for spec, width in zip(branches, self.widths, strict=True)
        )
        self.transform = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1)
        )
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, h: Tensor) -> Tensor:
        """Return the unit's features [B, C, T', V], before the residual and the last ReLU."""
        joints = h.shape[-1]
        wide = torch.cat([h, h.mean(dim=-1, keepdim=True)], dim=-1)  # [B, C, T, V+1]
        y = torch.cat([branch(wide) for branch in self.branches], dim=1)  # [B, C, T', V+1]
        local, mean_joint = y[..., :joints], y[..., joints:]
        mixed = local + mean_joint * self.add_coeff[:joints]
        return self.bn(self.transform(mixed))
