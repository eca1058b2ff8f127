"""Scores and topology, compared with the formulas in devtools/reference."""

from typing import Any

import pytest
import torch
from torch import Tensor

from devtools.reference import formulas as reference
from devtools.reference.pairs import formulas
from proto_gcn.config.train import TrainConfig
from proto_gcn.evaluation.scoring import ClassMeans, score

LABELS = torch.tensor([0, 2, 2, 0, 2])
CLASSES = 4


@pytest.fixture
def clips() -> Tensor:
    """Five samples of three clips; the last four samples have one person."""
    made = torch.randn(5, 3, 2, 8, 25, 3)
    made[1:, :, 1] = 0
    return made


def batches(clips: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(clips[:2], LABELS[:2]), (clips[2:], LABELS[2:])]


@torch.no_grad()
def test_scores_are_mean_probabilities_over_the_clips(
    small_model: Any, config: TrainConfig, clips: Tensor
) -> None:
    net = formulas(small_model.eval(), config.model)
    each_clip = [torch.softmax(reference.forward(net, clip), dim=1) for clip in clips.unbind(1)]
    wanted = sum(each_clip) / 3
    for topology in (None, ClassMeans(CLASSES)):
        found = score(small_model, batches(clips), topology=topology)
        torch.testing.assert_close(found.scores, wanted, rtol=1e-4, atol=1e-5)
        assert found.labels.tolist() == LABELS.tolist()


@torch.no_grad()
def test_the_topology_is_the_mean_over_the_samples_of_a_class(
    small_model: Any, config: TrainConfig, clips: Tensor
) -> None:
    net = formulas(small_model.eval(), config.model)
    each = last_topology(net, clips[:, 0])
    means = ClassMeans(CLASSES)
    score(small_model, batches(clips), topology=means)
    found = means.means()
    assert torch.isnan(found[[1, 3]]).all()
    for label, members in ((0, [0, 3]), (2, [1, 2, 4])):
        wanted = sum(each[sample] for sample in members) / len(members)
        torch.testing.assert_close(found[label], wanted, rtol=1e-4, atol=1e-5)


def last_topology(net: reference.Network, clips: Tensor) -> Tensor:
    """Return inter + intra + A of the last graph unit for the first person, [N, V, V]."""
    h = reference.input_norm(net, clips)
    topology = torch.empty(0)
    for number, stride in enumerate(net.strides):
        name = f"backbone.gcn.{number}"
        h, topology = reference.block(net, name, h, stride, first=number == 0)
    first_person = topology.unflatten(0, clips.shape[:2])[:, 0]
    return first_person.mean(dim=1) + net[f"{name}.gcn.A"].mean(dim=0)


def test_a_sample_without_a_label_counts_in_no_mean() -> None:
    means = ClassMeans(2)
    means.add(torch.stack([torch.eye(3), 5 * torch.eye(3)]), torch.tensor([1, -1]))
    assert torch.equal(means.means()[1], torch.eye(3))
    assert torch.isnan(means.means()[0]).all()
