"""Each unit alone, plain and fused, against its formula (devtools/reference), in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from devtools.reference import formulas
from devtools.reference.formulas import Network
from devtools.reference.pairs import copied_state
from proto_gcn.config.train import ContrastConfig
from proto_gcn.model.fused.gcn import FusedGraphUnit
from proto_gcn.model.fused.loss import FusedContrastiveLoss
from proto_gcn.model.fused.operations.time_max import max_over_time
from proto_gcn.model.fused.prototype import FusedPrototypeReconstruction
from proto_gcn.model.fused.tcn import FusedTemporalUnit
from proto_gcn.model.gcn import GraphUnit
from proto_gcn.model.loss import ContrastiveLoss
from proto_gcn.model.prototype import PrototypeReconstruction
from proto_gcn.model.tcn import TemporalUnit

Moved = Callable[[nn.Module], nn.Module]
BRANCHES = [[3, 1], [3, 2], [3, 3], [3, 4], ["max", 3], "1x1"]
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def both(plain: type, fused: type) -> Any:
    return pytest.mark.parametrize("unit", [plain, fused], ids=["plain", "fused"])


def oracle(module: nn.Module, name: str, memory: Tensor | None = None, **options: Any) -> Network:
    """Return the formulas with copies of the module's parameters, under that name."""
    memory = torch.zeros(0) if memory is None else memory
    return Network(copied_state(module, f"{name}."), memory, module.training, [], **options)


@both(GraphUnit, FusedGraphUnit)
@modes
@pytest.mark.parametrize("scales", ["first", "each"])
@pytest.mark.parametrize("width", [4, 16], ids=["another width", "the same width"])
def test_graph_unit(
    unit: type[GraphUnit], width: int, scales: Any, training: bool, moved: Moved
) -> None:
    graph = moved(unit(width, 16, torch.randn(3, 5, 5), scales=scales)).double().train(training)
    assert len(set(graph.alpha.tolist())) == 3  # else "first" and "each" would be the same
    net = oracle(graph, "gcn", scale_of_each_subset=scales == "each")
    x = torch.randn(2, width, 6, 5, dtype=torch.float64)
    features, topology = formulas.graph_unit(net, "gcn", x)
    found, rest = graph(x)
    torch.testing.assert_close(found, features)
    own = graph.topology(rest) if isinstance(graph, FusedGraphUnit) else rest
    torch.testing.assert_close(own, topology)


@both(TemporalUnit, FusedTemporalUnit)
@modes
@pytest.mark.parametrize("stride", [1, 2])
def test_temporal_unit(unit: type[TemporalUnit], stride: int, training: bool, moved: Moved) -> None:
    temporal = moved(unit(14, BRANCHES, joints=5, stride=stride)).double().train(training)
    assert temporal.widths == [4, 2, 2, 2, 2, 2]
    net = oracle(temporal, "tcn")
    x = torch.randn(2, 14, 7, 5, dtype=torch.float64)
    torch.testing.assert_close(temporal(x), formulas.temporal_unit(net, "tcn", x, stride))


@both(PrototypeReconstruction, FusedPrototypeReconstruction)
def test_prototype_reconstruction(unit: type[PrototypeReconstruction], moved: Moved) -> None:
    prn = moved(unit(6, 4)).double().eval()
    relations = torch.randn(2, 6, 9, dtype=torch.float64)
    net = oracle(prn, "prn")
    wanted = [formulas.reconstruction(net, "prn", sample) for sample in relations]
    torch.testing.assert_close(prn(relations), torch.stack(wanted))


@both(ContrastiveLoss, FusedContrastiveLoss)
def test_contrastive_loss_its_gradient_and_its_memory(unit: type[ContrastiveLoss]) -> None:
    """The gradient runs through the class means too."""
    loss = unit(10, 3, ContrastConfig(dim=4)).double()
    before = loss.memory = loss.memory.double()
    net = oracle(loss, "cls_head.csc_loss", before)
    graph = torch.randn(5, 10, dtype=torch.float64)
    labels, predicted = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 2, 0])
    logits = 2 * functional.one_hot(predicted).double()
    value, wanted = loss(graph, labels, logits), formulas.contrast(net, graph, labels, logits)
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(loss.memory, net.memory)
    assert (loss.memory != before).any(0).tolist() == [True, True, False]  # 2 is not recognised
    assert not loss.memory.requires_grad
    (ours,) = torch.autograd.grad(value, loss.cl_fc.weight)
    (theirs,) = torch.autograd.grad(wanted, net["cls_head.csc_loss.cl_fc.weight"])
    torch.testing.assert_close(ours, theirs)


def test_a_class_is_recognised_only_above_the_threshold() -> None:
    """The oracle has no threshold, because the published one is 0."""
    loss = ContrastiveLoss(10, 3, ContrastConfig(dim=4, threshold=0.9))
    before = loss.memory
    logits = torch.tensor([[1.0, 0.0, 0.0], [0.0, 9.0, 0.0]])  # 0.58, 0.9998 sure
    loss(torch.randn(2, 10), torch.tensor([0, 1]), logits)
    assert (loss.memory != before).any(0).tolist() == [False, True, False]


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
