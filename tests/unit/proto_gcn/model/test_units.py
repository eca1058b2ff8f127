"""Each unit against its formulas written as slow loops, in float64 with parameters moved off their start values."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.config.train import ContrastConfig
from proto_gcn.model.fused.time_max import max_over_time
from proto_gcn.model.gcn import GraphUnit
from proto_gcn.model.loss import ContrastiveLoss
from proto_gcn.model.prototype import PrototypeReconstruction
from proto_gcn.model.tcn import TemporalUnit

Moved = Callable[[nn.Module], nn.Module]
BRANCHES = [[3, 1], [3, 2], [3, 3], [3, 4], ["max", 3], "1x1"]


def pointwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return torch.einsum("oc,bctv->botv", conv.weight[:, :, 0, 0], x) + conv.bias.view(1, -1, 1, 1)


def norm(bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    for c in range(x.shape[1]):
        scale = bn.weight[c] / math.sqrt(bn.running_var[c] + 1e-5)
        out[:, c] = (x[:, c] - bn.running_mean[c]) * scale + bn.bias[c]
    return out


def test_graph_unit(moved: Moved) -> None:
    subsets, mid, joints = 3, 2, 5
    unit = moved(GraphUnit(4, 16, torch.randn(subsets, joints, joints))).double().eval()
    x = torch.randn(2, 4, 6, joints, dtype=torch.float64)
    p = norm(unit.pre[1], pointwise(unit.pre[0], x)).clamp(min=0)
    a, b = pointwise(unit.conv1, x).mean(2), pointwise(unit.conv2, x).mean(2)
    mixed, seen = (
        torch.zeros_like(p),
        torch.zeros(2, subsets * mid, joints, joints, dtype=torch.float64),
    )
    for n in range(2):
        for k in range(subsets):
            rows = slice(k * mid, (k + 1) * mid)
            product = a[n, rows].T @ b[n, rows]  # [v, w]
            for w in range(joints):
                share = product[:, w].exp() / product[:, w].exp().sum()  # softmax over v
                for v in range(joints):
                    for c in range(k * mid, (k + 1) * mid):
                        inter = unit.alpha[0] * torch.tanh(a[n, c, v] - b[n, c, w])
                        seen[n, c, v, w] = inter + unit.beta[0] * share[v]
                        mixed[n, c, :, w] += p[n, c, :, v] * (seen[n, c, v, w] + unit.A[k, v, w])
    residual = norm(unit.down[1], pointwise(unit.down[0], x))
    wanted = (norm(unit.bn, pointwise(unit.post, mixed)) + residual).clamp(min=0)
    features, pooled = unit(x)
    torch.testing.assert_close(features, wanted)
    torch.testing.assert_close(unit.topology(pooled), seen)


def time_conv(conv: nn.Conv2d, x: Tensor, dilation: int, stride: int) -> Tensor:
    batch, _, frames, joints = x.shape
    out = torch.zeros(batch, conv.weight.shape[0], -(-frames // stride), joints, dtype=x.dtype)
    for t in range(out.shape[2]):
        for tap in (-1, 0, 1):
            source = t * stride + tap * dilation
            if 0 <= source < frames:
                out[:, :, t] += torch.einsum(
                    "oc,bcv->bov", conv.weight[:, :, tap + 1, 0], x[:, :, source]
                )
    return out + conv.bias.view(1, -1, 1, 1)


def max_pool(x: Tensor, stride: int) -> Tensor:
    frames = x.shape[2]
    windows = [x[:, :, max(0, t - 1) : t + 2].amax(2) for t in range(0, frames, stride)]
    return torch.stack(windows, 2)


def test_temporal_unit(moved: Moved) -> None:
    for stride in (1, 2):
        unit = moved(TemporalUnit(14, BRANCHES, joints=5, stride=stride)).double().eval()
        x = torch.randn(2, 14, 7, 5, dtype=torch.float64)
        wide = torch.cat([x, x.mean(3, keepdim=True)], 3)
        parts = []
        for i, branch in enumerate(unit.branches[:5]):
            reduced = norm(branch[1], pointwise(branch[0], wide)).clamp(min=0)
            parts.append(
                max_pool(reduced, stride)
                if i == 4
                else time_conv(branch[3].conv, reduced, i + 1, stride)
            )
        parts.append(pointwise(unit.branches[5], wide)[:, :, ::stride])
        assert [part.shape[1] for part in parts] == [4, 2, 2, 2, 2, 2]
        joined = torch.cat(parts, 1)
        mixed = joined[..., :5] + joined[..., 5:] * unit.add_coeff[:5]
        hidden = norm(unit.transform[0], mixed).clamp(min=0)
        torch.testing.assert_close(unit(x), norm(unit.bn, pointwise(unit.transform[2], hidden)))


def test_prototype_reconstruction(moved: Moved) -> None:
    unit = moved(PrototypeReconstruction(6, 4)).double().eval()
    relations = torch.randn(2, 6, 9, dtype=torch.float64)
    for n in range(2):
        for pair in range(9):
            weights = (unit.query_matrix.weight @ relations[n, :, pair]).exp()
            wanted = unit.memory_matrix.weight @ (weights / weights.sum())
            torch.testing.assert_close(unit(relations)[n, :, pair], wanted)


def test_contrastive_loss() -> None:
    loss = ContrastiveLoss(10, 3, ContrastConfig(dim=4)).double()
    before = loss.memory.double()
    graph = torch.randn(5, 10, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 2])
    right = [True, True, True, False, False]  # class 2 is never recognised: its column stays
    logits = torch.zeros(5, 3, dtype=torch.float64)
    for i, ok in enumerate(right):
        logits[i, labels[i] if ok else (labels[i] + 1) % 3] = 2.0
    value = loss(graph, labels, logits)

    f = [loss.cl_fc.weight @ g + loss.cl_fc.bias for g in graph]
    memory = [
        0.9 * before[:, 0] + 0.1 * (f[0] + f[1]) / 2,
        0.9 * before[:, 1] + 0.1 * f[2],
        before[:, 2],
    ]
    wanted = torch.zeros((), dtype=torch.float64)
    for i in range(5):
        scores = torch.stack([f[i] @ m / (f[i].norm() * m.norm()) / 0.125 for m in memory])
        wanted = wanted - torch.log_softmax(scores, 0)[labels[i]] / 5
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(loss.memory, torch.stack(memory, 1).detach())
    assert not loss.memory.requires_grad
    ours, reference = (
        torch.autograd.grad(v, loss.cl_fc.weight, retain_graph=True)[0] for v in (value, wanted)
    )
    torch.testing.assert_close(ours, reference)  # the gradient runs through the class means too


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 5])
def test_max_over_time_is_max_pooling_down_to_the_gradient_of_ties(
    kernel: int, stride: int, frames: int
) -> None:
    x = torch.randint(0, 3, (2, 3, frames, 4)).double().requires_grad_()  # full of ties
    pooled = functional.max_pool2d(x, (kernel, 1), (stride, 1), (kernel // 2, 0))
    ours, gain = max_over_time(x, kernel, stride), torch.randn_like(pooled)
    assert torch.equal(ours, pooled)
    (wanted,), (gradient,) = (torch.autograd.grad((y * gain).sum(), x) for y in (pooled, ours))
    torch.testing.assert_close(gradient, wanted)
