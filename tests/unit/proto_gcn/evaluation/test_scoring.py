"""Scores and topology against the model's own."""

from typing import Any

import torch
from torch import Tensor

from proto_gcn.evaluation.scoring import ClassMeans, score


def test_scores_are_the_models_and_the_topology_is_a_mean_over_each_class(small_model: Any) -> None:
    clips, labels = torch.randn(5, 3, 2, 8, 25, 3), torch.tensor([0, 2, 2, 0, 2])
    clips[1:, :, 1] = 0  # absent persons are computed as one
    batches = [(clips[:2], labels[:2]), (clips[2:], labels[2:])]
    wanted = small_model.eval().scores(clips)
    for found in (score(small_model, batches), score(small_model, batches, topology=ClassMeans(4))):
        torch.testing.assert_close(found.scores, wanted)
        assert found.labels.tolist() == labels.tolist()
    topology = topology_of(small_model, batches)
    assert torch.isnan(topology[[1, 3]]).all()
    alone = [
        topology_of(small_model, [(clips[i : i + 1], labels[i : i + 1])])[labels[i]]
        for i in range(5)
    ]
    torch.testing.assert_close(topology[2], torch.stack([alone[1], alone[2], alone[4]]).mean(dim=0))


def topology_of(model: Any, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """[L, V, V]"""
    means = ClassMeans(4)
    score(model, batches, topology=means)
    return means.means()


def test_the_topology_is_what_the_last_graph_unit_mixes_joints_with(small_model: Any) -> None:
    clips = torch.randn(1, 1, 1, 8, 25, 3)
    seen: list[Tensor] = []
    unit = small_model.eval().backbone.gcn[-1].gcn
    unit.register_forward_hook(lambda _unit, given, _out: seen.append(given[0]))
    found = topology_of(small_model, [(clips, torch.tensor([3]))])[3]
    pooled = seen[0].mean(dim=2)[0]  # [C, V]
    a, b = (_product(conv, pooled).unflatten(0, (8, -1)) for conv in (unit.conv1, unit.conv2))
    inter = unit.alpha[0] * torch.tanh(a[..., :, None] - b[..., None, :]).mean(dim=1)
    intra = unit.beta[0] * torch.softmax(torch.einsum("kmv,kmw->kvw", a, b), dim=1)
    torch.testing.assert_close(
        found, (inter + intra + unit.A).mean(dim=0).detach(), rtol=1e-4, atol=1e-5
    )


def _product(conv: Any, pooled: Tensor) -> Tensor:
    return (conv.weight.flatten(1) @ pooled + conv.bias[:, None]).detach()
