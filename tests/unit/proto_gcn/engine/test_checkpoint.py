"""What learns, and the checkpoints that hold all of it."""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.config.train import EvaluationConfig, TrainConfig
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import DamagedError, Progress
from proto_gcn.engine.learner import Learner, cosine
from proto_gcn.errors import ConfigError, TrainerError
from proto_gcn.evaluation.metrics import mean_class, measure, top_k

CPU = torch.device("cpu")


def trained(config: TrainConfig, steps: int = 2) -> Learner:
    learner = Learner(config, CPU)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        learner.step(
            torch.randn(4, 1, 2, 8, 25, 3, generator=generator), torch.tensor([0, 1, 2, 3]), lr=0.1
        )
    return learner


def saved(path: Path, config: TrainConfig, learner: Learner, progress: Progress) -> dict[str, Any]:
    checkpoint.write(path, checkpoint.encode(learner, progress, config))
    return checkpoint.read(path)


def test_a_restored_run_continues_bit_for_bit(config: TrainConfig, tmp_path: Path) -> None:
    learner = trained(config)
    content = saved(
        tmp_path / "x.pth",
        config,
        learner,
        Progress(epoch=3, step=1, loss_sum=2.5, report={"top1": 50.0}),
    )

    def go_on(it: Learner) -> list[Any]:
        loss = it.step(torch.ones(4, 1, 2, 8, 25, 3), torch.tensor([0, 1, 2, 3]), lr=0.1)
        state = [*it.model.state_dict().values(), it.model.memory]
        return [
            loss,
            random.random(),
            np.random.rand(),
            torch.rand(1).item(),
            *(t.sum().item() for t in state),
        ]

    wanted = go_on(learner)
    other = Learner(config.model_copy(update={"seed": 9}), CPU)
    progress = checkpoint.restore(content, other, config)
    assert progress == Progress(epoch=3, step=1, loss_sum=2.5, report={"top1": 50.0})
    assert go_on(other) == wanted


def test_the_contrastive_memory_stays_out_of_the_published_layout(
    config: TrainConfig, tmp_path: Path
) -> None:
    content = saved(tmp_path / "x.pth", config, trained(config, 1), Progress())
    assert [key for key in content["state_dict"] if "memory" in key] == [
        "backbone.prn.memory_matrix.weight"
    ]
    assert content["memory"].shape == (6, 4)


def test_a_failed_write_keeps_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "latest.pth"
    checkpoint.write(path, b"good")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        TrainerError,
        match=r"cannot write .*latest\.pth: No space left .* earlier checkpoint is intact",
    ):
        checkpoint.write(path, b"bad")
    assert path.read_bytes() == b"good"
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pth"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"garbage" * 100])
def test_a_damaged_checkpoint_is_reported(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(DamagedError, match=r"x\.pth is not a readable checkpoint"):
        checkpoint.read(tmp_path / "x.pth")


def test_a_truncated_checkpoint_is_reported(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    saved(path, config, trained(config, 0), Progress())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DamagedError):
        checkpoint.read(path)


def test_a_checkpoint_of_another_network_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    learner = trained(config, 0)
    content = saved(tmp_path / "x.pth", config, learner, Progress())
    raw = config.model_dump()
    raw["model"]["cls_head"]["num_classes"] = 5
    with pytest.raises(ConfigError, match="other model settings"):
        checkpoint.restore(content, learner, TrainConfig.model_validate(raw))


def test_published_weights_are_loaded_by_name_and_the_rest_is_reported(config: TrainConfig) -> None:
    source, learner = trained(config), Learner(config, CPU)
    state = {f"module.{key}": value for key, value in source.model.state_dict().items()}
    del state["module.backbone.bn.bias"]
    sentences = checkpoint.load_weights({"state_dict": state}, learner.model)
    assert sentences == [
        "load_from: 1 key is missing: backbone.bn.bias; training starts without them"
    ]
    assert torch.equal(learner.model.cls_head.fc_cls.weight, source.model.cls_head.fc_cls.weight)
    del state["module.cls_head.fc_cls.bias"]
    with pytest.raises(
        ConfigError,
        match=r"^load_from: the weights do not fit .* 1 key is missing: cls_head\.fc_cls\.bias;",
    ):
        checkpoint.load_weights({"state_dict": state}, learner.model)
    with pytest.raises(ConfigError, match="weights only"):
        checkpoint.restore({"state_dict": {}}, learner, config)


def test_a_loss_that_is_not_finite_changes_no_weight(config: TrainConfig) -> None:
    learner = trained(config, 0)
    before = learner.model.cls_head.fc_cls.weight.clone()
    assert np.isnan(
        learner.step(torch.full((2, 1, 2, 8, 25, 3), torch.nan), torch.tensor([0, 1]), lr=0.1)
    )
    assert torch.equal(learner.model.cls_head.fc_cls.weight, before)
    assert learner.is_finite()
    learner.model.backbone.post.weight.data[0] = torch.inf
    assert not learner.is_finite()


def test_cosine_schedule_at_its_start_middle_and_end() -> None:
    assert [cosine(0.4, 0.0, i, 4) for i in (0, 2, 4)] == pytest.approx([0.4, 0.2, 0.0])
    assert cosine(0.4, 0.2, 1, 2) == pytest.approx(0.3)


def test_metrics_by_hand() -> None:
    scores = torch.tensor(
        [[0.7, 0.2, 0.1, 0.0], [0.4, 0.5, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4], [0.9, 0.0, 0.1, 0.0]]
    )
    labels = torch.tensor([0, 0, 2, 0])
    assert (top_k(scores, labels, 1), top_k(scores, labels, 2), top_k(scores, labels, 9)) == (
        50,
        100,
        100,
    )
    assert mean_class(scores, labels) == pytest.approx(
        100 * (2 / 3 + 0 + 0 + 0) / 4
    )  # 1 and 3 occur as predictions
    asked = EvaluationConfig(metrics=["mean_class_accuracy"], topk=[1])
    assert measure(scores, labels, asked).keys() == {"top1", "mean_class"}


def test_only_a_higher_top1_is_better() -> None:
    progress = Progress(epoch=4)
    assert [progress.is_better(t) for t in (None, 0.0, 0.0, 50.0, 40.0)] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert (progress.best_top1, progress.best_epoch) == (50.0, 5)
    assert progress.next_epoch({"epoch": 5}) == Progress(
        5, best_top1=50.0, best_epoch=5, report={"epoch": 5}
    )
