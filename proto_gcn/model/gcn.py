"""The graph unit: joints exchange features over a topology refined for every sample."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.model.refinement import refinement

Scales = Literal["first", "each"]


class GraphUnit(nn.Module):
    """Map h [B, Cin, T, V] to [B, C, T, V] over K subsets of mid = int(C * ratio) channels each.

    Every subset has a learnt adjacency A[k] [V, V], indexed [from v, to w], to which each sample
    adds a refinement of its own. With scales "first", alpha[0] and beta[0] serve all K subsets as
    in the published code, which published weights rely on; with "each", every subset has its own.
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
        self.subsets = len(adjacency)
        self.scales = scales
        hidden = int(channels * ratio) * self.subsets
        self.A = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.full((self.subsets,), scale_init))
        self.beta = nn.Parameter(torch.full((self.subsets,), scale_init))
        self.pre = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)
        )
        self.post = nn.Conv2d(hidden, channels, 1)
        self.conv1 = nn.Conv2d(in_channels, hidden, 1)
        self.conv2 = nn.Conv2d(in_channels, hidden, 1)
        self.down: nn.Module = nn.Identity()
        if in_channels != channels:
            self.down = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features [B, C, T, V] and the refinement [B, K*mid, V, V]."""
        own = self.own_topology(h)
        hidden = self.pre(h).unflatten(1, (self.subsets, -1))  # [B, K, mid, T, V]
        mixed = hidden @ (own + self.A[:, None])  # [B, K, mid, T, V]
        out = self.bn(self.post(mixed.flatten(1, 2))) + self.down(h)
        return functional.relu(out), own.flatten(1, 2)

    def own_topology(self, h: Tensor) -> Tensor:
        """Return the sample's own part of the topology, [B, K, mid, V, V], from its mean frame."""
        a, b = (conv(h).mean(dim=2) for conv in (self.conv1, self.conv2))  # [B, K*mid, V]
        by_subset = (self.subsets, -1)
        return refinement(a.unflatten(1, by_subset), b.unflatten(1, by_subset), *self.factors())

    def factors(self) -> tuple[Tensor, Tensor]:
        """Return alpha and beta [K] as the subsets use them."""
        if self.scales == "each":
            return self.alpha, self.beta
        return self.alpha[:1].expand(self.subsets), self.beta[:1].expand(self.subsets)

    def adjacency(self) -> Tensor:
        """Return A for each channel, [K*mid, V, V]."""
        return self.A.repeat_interleave(self.post.in_channels // self.subsets, dim=0)
