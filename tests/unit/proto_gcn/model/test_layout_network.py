"""A joint layout of one's own: the network, its checkpoints, and what it learns."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from devtools.reference.layouts import SPIDER
from devtools.reference.matrix import FLOAT64, LABELS, MODES, assert_close, narrow
from devtools.reference.pairs import clips, fast, formulas, values_and_gradients
from proto_gcn.config.train import TrainConfig
from proto_gcn.data import synthetic
from proto_gcn.data.dataset import EpochSample, load_splits
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.learner import Learner
from proto_gcn.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("training", MODES.values(), ids=MODES)
def test_the_network_is_that_of_the_formulas(training: bool) -> None:
    """Compare with 31 joints; test_reference.py compares the other layouts."""
    config = narrow("custom")
    model = fast(config).double().train(training)
    net, x = formulas(model, config), clips(3, 12, len(SPIDER), [1, 2], torch.float64)
    model.memory = net.memory
    assert_close(*(values_and_gradients(network, x, LABELS) for network in (model, net)), FLOAT64)
    assert model.backbone.gcn[0].tcn.add_coeff.shape == (31,)


def test_weights_of_another_layout_are_refused_by_the_number_of_joints(
    config: TrainConfig, own: Callable[..., dict[str, Any]]
) -> None:
    there, here = Learner(config, CPU), Learner(TrainConfig.model_validate(own()), CPU)
    with pytest.raises(
        ConfigError,
        match=r"do not fit the network: .* a layout with 25 joints, and the config's has 7:",
    ):
        checkpoint.load_weights({"state_dict": there.model.state_dict()}, here.model)


def test_a_resume_names_the_keys_that_differ(own: Callable[..., dict[str, Any]]) -> None:
    config = TrainConfig.model_validate(own())
    learner = Learner(config, CPU)
    written = checkpoint.encode(learner, Progress(epoch=2), config)
    content = torch.load(io.BytesIO(written), weights_only=False)
    other = TrainConfig.model_validate(own({"parents": [0, 0, 1, 0, 3, 0, 0]}))
    with pytest.raises(ConfigError, match=r"start a new job: model\.backbone\.graph_cfg\.parents$"):
        checkpoint.restore(content, learner, other)


def test_a_checkpoint_older_than_other_layouts_can_be_resumed(config: TrainConfig) -> None:
    learner = Learner(config, CPU)
    content = torch.load(
        io.BytesIO(checkpoint.encode(learner, Progress(epoch=2), config)), weights_only=False
    )
    for key in ("parents", "left_right", "dimensions"):
        assert content["meta"]["config"]["model"]["backbone"]["graph_cfg"].pop(key) is None
    assert checkpoint.restore(content, learner, config) == Progress(epoch=2)


def test_a_small_network_learns_it(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """It reaches 90 % on unseen samples of four classes."""
    raw = own(num_person=1, clip_len=12, videos_per_gpu=16)
    raw["model"]["backbone"] |= {"base_channels": 16, "num_person": 1}
    config = TrainConfig.model_validate(raw)
    path = tmp_path / "x.pkl"
    path.write_bytes(
        pickle.dumps(synthetic.make_dataset(0, 4, 96, 48, config.model.backbone.graph_cfg.skeleton))
    )
    splits, learner = load_splits(config, path), Learner(config, CPU)
    held_out, labels = splits.val.__getitems__([EpochSample(0, i, i) for i in range(48)])

    def share_right() -> float:
        learner.model.eval()
        with torch.no_grad():
            return float((learner.model.scores(held_out).argmax(1) == labels).double().mean())

    assert share_right() < 0.6
    for epoch in range(24):
        order = torch.randperm(96, generator=torch.Generator().manual_seed(epoch)).tolist()
        learner.model.train()
        for start in range(0, 96, 16):
            places = [
                EpochSample(epoch, start + i, sample)
                for i, sample in enumerate(order[start : start + 16])
            ]
            learner.step(*splits.train.__getitems__(places), lr=0.05 if epoch < 18 else 0.005)
    assert share_right() >= 0.9
