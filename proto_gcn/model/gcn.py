"""The graph unit: joints exchange features over a topology that is learnt and refined per sample."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class GraphOutput(NamedTuple):
    """features [B, C, T, V]; topology [B, K*mid, V, V], the sample's own part of the graph (without A)."""

    features: Tensor
    topology: Tensor


class GraphUnit(nn.Module):
    """[B, Cin, T, V] -> [B, C, T, V] over K subsets of mid = int(C * ratio) channels each.

    Topology of a sample: alpha * tanh(a_v - b_w) + beta * softmax_v(sum_m a_mv b_mw) + A, where a and b are
    1x1 convolutions averaged over time (ProtoGCN, arXiv 2411.18941, section 3).
    """

    def __init__(self, in_channels: int, channels: int, adjacency: Tensor, ratio: float = 0.125) -> None:
        super().__init__()
        self.subsets = len(adjacency)
        hidden = int(channels * ratio) * self.subsets
        self.A = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(self.subsets))
        self.beta = nn.Parameter(torch.zeros(self.subsets))
        self.pre = nn.Sequential(nn.Conv2d(in_channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU())
        self.post = nn.Conv2d(hidden, channels, 1)
        self.conv1 = nn.Conv2d(in_channels, hidden, 1)
        self.conv2 = nn.Conv2d(in_channels, hidden, 1)
        self.down: nn.Module = nn.Identity()
        if in_channels != channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> GraphOutput:
        topology = self.topology(x)
        hidden = self.pre(x).unflatten(1, (self.subsets, -1))
        mixed = hidden @ (topology + self.A[:, None])  # [B, K, mid, T, V] @ [B, K, mid, V, V]
        features = torch.relu(self.bn(self.post(mixed.flatten(1, 2))) + self.down(x))
        return GraphOutput(features, topology.flatten(1, 2))

    def topology(self, x: Tensor) -> Tensor:
        """[B, Cin, T, V] -> [B, K, mid, V, V], indexed [from v, to w]."""
        pooled = x.mean(dim=2, keepdim=True)  # the mean over T commutes with a 1x1 convolution and is cheaper first
        a, b = (conv(pooled).squeeze(2).unflatten(1, (self.subsets, -1)) for conv in (self.conv1, self.conv2))
        inter = torch.tanh(a[..., :, None] - b[..., None, :])
        intra = torch.softmax(torch.einsum("bkmv,bkmw->bkvw", a, b), dim=-2).unsqueeze(2)
        # Only the first of the K entries is used, for all subsets: a published quirk that published weights rely on.
        return self.alpha[0] * inter + self.beta[0] * intra
