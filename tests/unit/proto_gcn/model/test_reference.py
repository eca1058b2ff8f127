"""The values of the fused network against its formulas (devtools/reference)."""

import pytest
import torch
from torch import Tensor

from devtools.reference import formulas as reference
from devtools.reference.matrix import (
    FLOAT32,
    FLOAT64,
    FRAMES,
    LABELS,
    LAYOUTS,
    MODES,
    PERSONS,
    assert_close,
    joints_of,
    narrow,
)
from devtools.reference.pairs import clips, fast, formulas, model_config, values
from proto_gcn.config.train import ModelConfig

modes = pytest.mark.parametrize("training", MODES.values(), ids=MODES)
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def assert_values(config: ModelConfig, x: Tensor, training: bool, close: dict[str, float]) -> None:
    """Compare features, graph, logits, losses, running statistics and the contrastive memory."""
    model, labels = fast(config).to(x.dtype).train(training), LABELS[: len(x)]
    net = formulas(model, config)
    before = model.memory = net.memory
    with torch.no_grad():
        assert_close(values(model, x, labels), values(net, x, labels), close)
    moved = (model.memory != before).any(0).nonzero().flatten()
    assert moved.tolist() == [0]  # the class that was predicted correctly


@modes
@pytest.mark.parametrize("persons", PERSONS.values(), ids=PERSONS)
@pytest.mark.parametrize("frames", FRAMES)
@layouts
def test_values(layout: str, frames: int, persons: list[int], training: bool) -> None:
    config = narrow(layout)
    assert_values(
        config, clips(len(persons), frames, joints_of(config), persons), training, FLOAT32
    )


@modes
def test_values_at_full_width_and_depth(training: bool) -> None:
    assert_values(model_config(num_prototype=100), clips(2, 50, 25, [1, 2]), training, FLOAT32)


@layouts
def test_scores_of_ten_clips(layout: str) -> None:
    config = narrow(layout)
    model = fast(config).eval()
    x = clips(20, 100, joints_of(config), [1] * 10 + [2] * 10).unflatten(0, (2, 10))
    net = formulas(model, config)
    with torch.no_grad():
        wanted = torch.stack(
            [torch.softmax(reference.forward(net, sample), 1).mean(0) for sample in x]
        )
    torch.testing.assert_close(model.scores(x), wanted, **FLOAT32)


@modes
def test_three_persons_another_width_and_depth(training: bool) -> None:
    config = narrow(
        base_channels=20, num_stages=2, inflate_stages=[2], down_stages=[], num_person=3
    )
    third = torch.zeros(3, 1, 7, 25, 3, dtype=torch.float64)
    assert_values(
        config, torch.cat([clips(3, 7, 25, [2, 1], torch.float64), third], dim=1), training, FLOAT64
    )
