"""Proto-GCN of PyTorch's own layers, batched in the way the published code goes about it: what speed is compared with.

Every absent person goes through everything; the mean joint is appended before the branches; conv1 and conv2 see all
frames; the prototypes are gone through sample by sample, also where nothing but logits is asked for.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Trunk(NamedTuple):
    features: Tensor  # [N, M, C, T', V]
    topology: Tensor  # [N, K*mid, V, V], mean over persons


class Output(NamedTuple):
    logits: Tensor
    loss: Tensor | None = None
    cross_entropy: Tensor | None = None
    contrastive: Tensor | None = None


class GraphUnit(nn.Module):
    def __init__(self, cin: int, c: int, adjacency: Tensor) -> None:
        super().__init__()
        subsets = len(adjacency)
        hidden = c // 8 * subsets
        self.A = nn.Parameter(adjacency.clone())
        self.alpha, self.beta = (
            nn.Parameter(torch.zeros(subsets)),
            nn.Parameter(torch.zeros(subsets)),
        )
        self.pre = nn.Sequential(
            nn.Conv2d(cin, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)
        )
        self.post = nn.Conv2d(hidden, c, 1)
        self.conv1, self.conv2 = nn.Conv2d(cin, hidden, 1), nn.Conv2d(cin, hidden, 1)
        self.down = (
            nn.Sequential(nn.Conv2d(cin, c, 1), nn.BatchNorm2d(c)) if cin != c else nn.Identity()
        )
        self.bn = nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, subsets = len(x), len(self.A)
        p = self.pre(x).unflatten(1, (subsets, -1))
        a, b = (
            conv(x).unflatten(1, (subsets, -1)).mean(3, keepdim=True)
            for conv in (self.conv1, self.conv2)
        )
        inter = torch.tanh(a.transpose(-1, -2) - b) * self.alpha[0]
        products = torch.einsum("bkmv,bkmw->bkvw", a.squeeze(3), b.squeeze(3))
        own = inter + (torch.softmax(products, dim=-2) * self.beta[0]).unsqueeze(2)
        mixed = torch.einsum("bkmtv,bkmvw->bkmtw", p, own + self.A[None, :, None]).contiguous()
        out = torch.relu(self.bn(self.post(mixed.view(rows, -1, *x.shape[2:]))) + self.down(x))
        return out, own.flatten(1, 2)


class TimeConv(nn.Module):
    def __init__(self, width: int, dilation: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, (3, 1), (stride, 1), (dilation, 0), (dilation, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TemporalUnit(nn.Module):
    def __init__(self, c: int, stride: int, joints: int) -> None:
        super().__init__()
        self.add_coeff = nn.Parameter(torch.zeros(max(joints, 25)))
        last = [TimeConv, TimeConv, TimeConv, TimeConv, None, None]
        self.branches = nn.ModuleList(self._branch(i, c, stride) for i in range(len(last)))
        self.transform = nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(inplace=True), nn.Conv2d(c, c, 1))
        self.bn = nn.BatchNorm2d(c)

    @staticmethod
    def _branch(i: int, c: int, stride: int) -> nn.Module:
        width = c - 5 * (c // 6) if i == 0 else c // 6
        if i == 5:
            return nn.Conv2d(c, width, 1, (stride, 1))
        last = (
            nn.MaxPool2d((3, 1), (stride, 1), (1, 0)) if i == 4 else TimeConv(width, i + 1, stride)
        )
        return nn.Sequential(
            nn.Conv2d(c, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), last
        )

    def forward(self, x: Tensor) -> Tensor:
        joints = x.shape[3]
        wide = torch.cat([x, x.mean(3, keepdim=True)], dim=3)
        y = torch.cat([branch(wide) for branch in self.branches], dim=1)
        local, mean = y[..., :joints], y[..., joints]
        return self.bn(
            self.transform(local + torch.einsum("bct,v->bctv", mean, self.add_coeff[:joints]))
        )


class Residual(nn.Module):
    def __init__(self, cin: int, c: int, stride: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(cin, c, 1, (stride, 1)), nn.BatchNorm2d(c)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Block(nn.Module):
    def __init__(self, cin: int, c: int, stride: int, adjacency: Tensor, first: bool) -> None:
        super().__init__()
        self.gcn, self.tcn = (
            GraphUnit(cin, c, adjacency),
            TemporalUnit(c, stride, adjacency.shape[-1]),
        )
        self.first = first
        self.residual = Residual(cin, c, stride) if not first and (cin != c or stride > 1) else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, topology = self.gcn(x)
        y = self.tcn(features)
        if not self.first:
            y = y + (x if self.residual is None else self.residual(x))
        return torch.relu(y), topology


class Prototypes(nn.Module):
    def __init__(self, c: int, prototypes: int) -> None:
        super().__init__()
        self.query_matrix = nn.Linear(c, prototypes, bias=False)
        self.memory_matrix = nn.Linear(prototypes, c, bias=False)


class Backbone(nn.Module):
    def __init__(
        self, plan: list[tuple[int, int, int]], adjacency: Tensor, prototypes: int
    ) -> None:
        super().__init__()
        joints, width = adjacency.shape[-1], plan[-1][1] // 8 * len(adjacency)
        self.data_bn = nn.BatchNorm1d(joints * plan[0][0])
        self.gcn = nn.ModuleList(
            Block(*stage, adjacency, first=i == 0) for i, stage in enumerate(plan)
        )
        self.post, self.bn = nn.Conv2d(width, width, 1), nn.BatchNorm2d(width)
        self.prn = Prototypes(width, prototypes)

    def forward(self, clips: Tensor) -> Trunk:
        n, m, t, v, c = clips.shape
        x = self.data_bn(clips.permute(0, 1, 3, 4, 2).reshape(n * m, v * c, t))
        x = x.view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()
        for block in self.gcn:
            x, topology = block(x)
        return Trunk(x.unflatten(0, (n, m)), topology.unflatten(0, (n, m)).mean(1))

    def graph(self, topology: Tensor) -> Tensor:
        rebuilt = []
        for sample in topology:
            q = torch.softmax(self.prn.query_matrix(sample.flatten(1).T), dim=-1)
            rebuilt.append(self.prn.memory_matrix(q).T.view_as(sample))
        return torch.relu(self.bn(self.post(torch.stack(rebuilt)))).mean(1).flatten(1)


class Contrast(nn.Module):
    def __init__(self, width: int, dim: int, classes: int) -> None:
        super().__init__()
        self.cl_fc, self.memory = nn.Linear(width, dim), torch.randn(dim, classes)

    def forward(self, graph: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        f = self.cl_fc(graph)
        probability = torch.softmax(logits.detach(), dim=1)
        mask = functional.one_hot(labels, logits.shape[1]) * (
            probability == probability.amax(1, keepdim=True)
        )
        count, mask = mask.sum(0), mask.to(f)
        mean = f.T @ mask / (count + 1e-12)
        self.memory = torch.where(
            count > 0, 0.9 * self.memory.to(f) + 0.1 * mean, self.memory.to(f)
        )
        columns = self.memory / (self.memory.norm(dim=0) + 1e-12)
        near = f / (f.norm(dim=1, keepdim=True) + 1e-12) @ columns / 0.125
        self.memory = self.memory.detach()
        return functional.cross_entropy(near, labels)


class Head(nn.Module):
    def __init__(self, joints: int, c: int, classes: int, dim: int) -> None:
        super().__init__()
        self.csc_loss = Contrast(joints * joints, dim, classes)
        self.fc_cls = nn.Linear(c, classes)


class BatchedProtoGCN(nn.Module):
    """clips [N, M, T, V, C], labels [N] -> Output; plan = (cin, c, stride) of every block."""

    def __init__(
        self,
        plan: list[tuple[int, int, int]],
        adjacency: Tensor,
        prototypes: int,
        classes: int,
        dim: int,
        weight: float,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(plan, adjacency, prototypes)
        self.cls_head = Head(adjacency.shape[-1], plan[-1][1], classes, dim)
        self.weight = weight

    def forward(self, clips: Tensor, labels: Tensor | None = None) -> Output:
        trunk = self.backbone(clips)
        graph = self.backbone.graph(trunk.topology)
        logits = self.cls_head.fc_cls(trunk.features.mean((3, 4)).mean(1))
        if labels is None:
            return Output(logits)
        cross_entropy = functional.cross_entropy(logits, labels)
        contrastive = self.cls_head.csc_loss(graph, labels, logits)
        return Output(logits, cross_entropy + self.weight * contrastive, cross_entropy, contrastive)
