from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.config import TrainConfig
from proto_gcn.model.head import ProtoGCN


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # a random graph is drawn from numpy's global generator


@pytest.fixture
def raw_config() -> dict[str, Any]:
    """A whole config of a small network, as a YAML file would hold it."""
    backbone = {"base_channels": 8, "num_stages": 3, "inflate_stages": [3], "down_stages": [3], "num_prototype": 5}
    return {
        "model": {"backbone": backbone, "cls_head": {"num_classes": 4, "csc": {"dim": 6}}},
        "data": {"ann_file": "/data/datasets/small.pkl", "clip_len": 8, "num_person": 2, "workers_per_gpu": 0},
        "total_epochs": 2,
    }


@pytest.fixture
def config(raw_config: dict[str, Any]) -> TrainConfig:
    return TrainConfig.model_validate(raw_config)


@pytest.fixture
def small_model(config: TrainConfig) -> ProtoGCN:
    return moved_off_start(ProtoGCN(config.model))


@pytest.fixture
def moved() -> Callable[[torch.nn.Module], torch.nn.Module]:
    return moved_off_start


def moved_off_start(module: Any) -> Any:
    """Gives every parameter and statistic a value of its own: zeros at the start would hide what they multiply."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return module
