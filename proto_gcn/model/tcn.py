"""The temporal unit: parallel convolutions over time with different reach, plus the mean joint as a global context."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Branch = Sequence[int | str] | str


class TimeConv(nn.Module):
    """A convolution over time only; the published checkpoints name it `conv`."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(in_channels, channels, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def make_branch(spec: Branch, in_channels: int, channels: int, stride: int) -> nn.Module:
    """`1x1`, `[max, kernel]` or `[kernel, dilation]`; halves T when stride is 2."""
    if spec == "1x1":
        return nn.Conv2d(in_channels, channels, 1, (stride, 1))
    reduce = nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU()
    first, second = spec[0], int(spec[1])
    if first == "max":
        return nn.Sequential(*reduce, nn.MaxPool2d((second, 1), (stride, 1), (second // 2, 0)))
    return nn.Sequential(*reduce, TimeConv(channels, channels, int(first), stride, dilation=second))


class TemporalUnit(nn.Module):
    """[B, C, T, V] -> [B, C, ceil(T / stride), V]."""

    def __init__(self, channels: int, branches: Sequence[Branch], joints: int, stride: int = 1) -> None:
        super().__init__()
        width = channels // len(branches)
        widths = [channels - width * (len(branches) - 1)] + [width] * (len(branches) - 1)
        self.add_coeff = nn.Parameter(torch.zeros(joints))
        self.branches = nn.ModuleList(
            make_branch(spec, channels, w, stride) for spec, w in zip(branches, widths, strict=True)
        )
        self.transform = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        joints = x.shape[-1]
        with_mean = torch.cat(
            [x, x.mean(dim=-1, keepdim=True)], dim=-1
        )  # the mean joint rides along as one more column
        y = torch.cat([branch(with_mean) for branch in self.branches], dim=1)
        y = y[..., :joints] + y[..., joints:] * self.add_coeff[:joints]
        return self.bn(self.transform(y))
