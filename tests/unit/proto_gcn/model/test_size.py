"""Parameters and multiply-adds at full width with 400 prototypes and 60 classes."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from devtools.reference.cost import products, published_count
from devtools.reference.pairs import clips, plain
from proto_gcn.config.train import ModelConfig
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.head import ProtoGCN


def count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


@pytest.fixture(scope="module")
def model() -> FusedProtoGCN:
    return FusedProtoGCN(ModelConfig())


def test_parameters(model: ProtoGCN) -> None:
    backbone, head = model.backbone, model.cls_head
    assert count(model.parameters()) == 4_344_860
    assert (count(backbone.parameters()), count(head.parameters())) == (4_161_504, 183_356)
    training_only = {
        backbone.prn: 307_200,
        backbone.post: 147_840,
        backbone.bn: 768,
        head.csc_loss: 160_256,
    }
    assert {part: count(part.parameters()) for part in training_only} == training_only
    assert count(model.parameters()) - sum(training_only.values()) == 3_728_796


def test_demo_width_has_the_size_known_from_the_published_code() -> None:
    narrow = {
        "backbone": {"base_channels": 16, "num_prototype": 50},
        "cls_head": {"num_classes": 6},
    }
    assert count(ProtoGCN(ModelConfig.model_validate(narrow)).parameters()) == 329_614


def test_multiply_adds_of_one_sample_of_two_persons(model: ProtoGCN) -> None:
    """With prototypes and losses; the plain network takes as many as the published one."""
    x, labels, reference = clips(1, 100, 25, [2]), torch.tensor([0]), plain(model, ModelConfig())
    assert published_count(reference, x, labels) == 7_766_230_960
    assert products(reference, x, labels) == 7_703_896_960
    assert products(model, x, labels) == 5_826_549_760
    assert products(model, x) == 5_526_493_440  # logits alone


def test_absent_persons_cost_one_row(model: ProtoGCN) -> None:
    """Four samples of one person each: five rows instead of eight."""
    both, one = (products(model, clips(4, 12, 25, [persons])) for persons in (2, 1))
    classifier = 4 * 384 * 60
    assert (one - classifier) * 8 == (both - classifier) * 5
