"""The section `engine`: what each option changes in a step, and which combinations are refused."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from proto_gcn.config.train import TrainConfig
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.learner import Learner
from proto_gcn.engine.processes.group import Group
from proto_gcn.engine.processes.launch import process_count
from proto_gcn.errors import ConfigError
from proto_gcn.model.fused.head import FusedProtoGCN

CPU = torch.device("cpu")


def configured(raw: dict[str, Any], **engine: Any) -> TrainConfig:
    raw["model"]["backbone"]["prn_dropout"] = 0.0
    return TrainConfig.model_validate(raw | {"engine": engine})


def after_steps(config: TrainConfig, steps: int = 2) -> tuple[list[float], Learner]:
    learner, generator = Learner(config, CPU), torch.Generator().manual_seed(1)
    clips = torch.randn(4, 1, 2, 8, 25, 3, generator=generator)
    return [learner.step(clips, torch.tensor([0, 1, 2, 3]), lr=0.1) for _ in range(steps)], learner


@pytest.mark.parametrize(
    ("engine", "tolerance"),
    [
        ({"recompute": "none"}, 1e-5),
        ({"recompute": "blocks"}, 1e-5),
        ({"channels_last": True}, 1e-4),
        ({"precision": "bf16"}, 0.05),
        ({"precision": "fp16"}, 0.05),
    ],
)
def test_an_option_changes_rounding_alone(
    engine: dict[str, Any], tolerance: float, raw_config: dict[str, Any]
) -> None:
    default, _ = after_steps(configured(raw_config))
    losses, learner = after_steps(configured(raw_config, **engine))
    assert losses == pytest.approx(default, rel=tolerance, abs=0)
    assert learner.is_finite()


@pytest.mark.parametrize(
    ("engine", "tolerance"),
    [({}, 1e-4), ({"channels_last": True}, 1e-4), ({"precision": "bf16"}, 0.05)],
)
def test_the_plain_network_takes_the_steps_of_the_fused_one(
    engine: dict[str, Any], tolerance: float, raw_config: dict[str, Any]
) -> None:
    """With scales above 0: with zeros, their first gradients are rounding alone."""
    raw_config["model"]["backbone"]["gcn_scale_init"] = 0.5
    fused, _ = after_steps(configured(raw_config))
    losses, learner = after_steps(configured(raw_config, fused=False, **engine))
    assert losses == pytest.approx(fused, rel=tolerance, abs=0)
    assert learner.is_finite()


def test_the_plain_network_has_finite_losses_in_fp16(raw_config: dict[str, Any]) -> None:
    losses, learner = after_steps(configured(raw_config, fused=False, precision="fp16"), steps=20)
    assert losses[-1] < losses[0]  # the scaler leaves out the first steps
    assert learner.is_finite()


@pytest.mark.parametrize("fused", [True, False])
def test_the_option_fused_chooses_the_network(fused: bool, raw_config: dict[str, Any]) -> None:
    model = Learner(configured(raw_config, fused=fused), CPU).model
    assert isinstance(model, FusedProtoGCN) is fused


def test_a_training_can_resume_with_the_other_network(raw_config: dict[str, Any]) -> None:
    """With the same optimiser, memory and random generators, it takes the same next step."""
    config = configured(raw_config)
    _, learner = after_steps(config)
    content = decoded(checkpoint.encode(learner, Progress(epoch=1), config))
    other = configured(raw_config, fused=False)
    plain = Learner(other, CPU)
    checkpoint.restore(content, plain, other)
    clips, labels = torch.randn(4, 1, 2, 8, 25, 3), torch.tensor([0, 1, 2, 3])
    losses = [one.step(clips, labels, lr=0.1) for one in (learner, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("precision", "allowed"), [("fp32", False), ("bf16", False), ("tf32", True)]
)
def test_tf32_switches_convolutions_and_products(
    precision: str, allowed: bool, raw_config: dict[str, Any]
) -> None:
    """On a CPU these switches change no number. PyTorch itself allows TF32 in convolutions."""
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = not allowed
        Learner(configured(raw_config, precision=precision), CPU)
        assert [switch.allow_tf32 for switch in switches] == [allowed, allowed]
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def test_parts_take_one_step_whose_loss_is_the_mean(raw_config: dict[str, Any]) -> None:
    """Equal parts make equal batch statistics, so that parts and whole take the same step."""
    generator = torch.Generator().manual_seed(1)
    clips = torch.randn(2, 1, 2, 8, 25, 3, generator=generator).repeat(2, 1, 1, 1, 1, 1)
    labels = torch.tensor([0, 1, 0, 1])
    raw_config["model"]["cls_head"]["weight"] = 0.0  # no contrastive memory
    whole, parts = (Learner(configured(raw_config, accumulate=n), CPU) for n in (1, 2))
    losses = [learner.step(clips, labels, lr=0.1) for learner in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for ours, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_scaler_is_in_the_checkpoint(raw_config: dict[str, Any], tmp_path: Path) -> None:
    config = configured(raw_config, precision="fp16")
    _, learner = after_steps(config)
    learner.scaler.update(128.0)
    checkpoint.write(tmp_path / "x.pth", checkpoint.encode(learner, Progress(), config))
    other = Learner(config, CPU)
    checkpoint.restore(checkpoint.read(tmp_path / "x.pth"), other, config)
    assert other.scaler.state_dict() == learner.scaler.state_dict()


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        (
            {"compile": True, "recompute": "blocks"},
            "recompute must not be blocks when compile is true",
        ),
        ({"fused": False, "compile": True}, "compile must be false when fused is false"),
        (
            {"fused": False, "recompute": "blocks"},
            "recompute must not be blocks when fused is false",
        ),
        ({"accumulate": 17}, "engine.accumulate must be at most data.videos_per_gpu"),
        ({"precision": "fp8"}, "fp32"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    engine: dict[str, Any], sentence: str, raw_config: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        configured(raw_config, **engine)


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ({"compile": True}, "engine.compile must be false"),
        ({"fused": False}, "engine.fused must be true"),
    ],
)
def test_compiled_and_plain_networks_train_in_one_process_alone(
    engine: dict[str, Any], sentence: str, raw_config: dict[str, Any]
) -> None:
    sentence += r" if several processes train together \(here 2\)"
    with pytest.raises(ConfigError, match=sentence):
        Learner(configured(raw_config, **engine), CPU, Group(0, 2, 0, 2))


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("data", "videos_per_gpu", 4, r"data\.videos_per_gpu times processes 16 \(here 4\)"),
        ("data", "train_split", "other", r"data\.train_split xsub_train \(here other\)"),
        ("data", "clip_len", 9, r"data\.clip_len 8 \(here 9\)"),
        ("data", "flip", 0.5, r"data\.flip 0\.0 \(here 0\.5\)"),
        (None, "modality", "b", r"modality j \(here b\)"),
        (None, "seed", 5, r"seed 0 \(here 5\)"),
    ],
)
def test_a_place_in_an_epoch_fits_only_its_own_batches(
    section: str | None, key: str, value: Any, sentence: str, raw_config: dict[str, Any]
) -> None:
    config = configured(raw_config)
    learner = Learner(config, CPU)
    contents = [decoded(checkpoint.encode(learner, Progress(step=step), config)) for step in (3, 0)]
    (raw_config[section] if section else raw_config)[key] = value
    other = configured(raw_config)
    with pytest.raises(ConfigError, match=sentence):
        checkpoint.restore(contents[0], learner, other)
    assert checkpoint.restore(contents[1], learner, other).step == 0


def decoded(content: bytes) -> dict[str, Any]:
    return torch.load(io.BytesIO(content), weights_only=True)


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"CUDA_VISIBLE_DEVICES": ""}, 1),
        ({"CUDA_VISIBLE_DEVICES": "0"}, 1),
        ({"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "0,1", "WORLD_SIZE": "2"}, 1),
        ({"TRAIN_PROCESSES": "3"}, 3),
    ],
)
def test_every_visible_gpu_gets_a_process(environment: dict[str, str], count: int) -> None:
    assert process_count(environment) == count


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "\u0662"])
def test_an_invalid_number_of_processes_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=f"TRAIN_PROCESSES must be a whole number from 1 up, not '{text}'"
    ):
        process_count({"TRAIN_PROCESSES": text})
