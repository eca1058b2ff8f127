from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from devtools.reference.layouts import MIRROR, PARENTS
from proto_gcn.config.train import TrainConfig
from proto_gcn.data import synthetic
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.head import ProtoGCN


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # a random graph is drawn from numpy's global generator


@pytest.fixture
def raw_config() -> dict[str, Any]:
    """Return the config of a small network, as a YAML file would contain it."""
    backbone = {
        "base_channels": 8,
        "num_stages": 3,
        "inflate_stages": [3],
        "down_stages": [3],
        "num_prototype": 5,
    }
    return {
        "model": {"backbone": backbone, "cls_head": {"num_classes": 4, "csc": {"dim": 6}}},
        "data": {
            "ann_file": "/data/datasets/small.pkl",
            "clip_len": 8,
            "num_person": 2,
            "workers_per_gpu": 0,
        },
        "total_epochs": 2,
    }


@pytest.fixture
def config(raw_config: dict[str, Any]) -> TrainConfig:
    return TrainConfig.model_validate(raw_config)


@pytest.fixture
def own(raw_config: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Return a config with a custom layout and changed keys of graph_cfg (None: left out), data."""

    def made(graph: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
        described = {"layout": "custom", "parents": PARENTS, "left_right": MIRROR, **(graph or {})}
        raw_config["model"]["backbone"]["graph_cfg"] = {
            k: v for k, v in described.items() if v is not None
        }
        raw_config["model"]["cls_head"]["joint_cfg"] = described["layout"]
        raw_config["data"] |= {"rotate": 0.0, **data}
        return raw_config

    return made


@pytest.fixture
def coco_config(raw_config: dict[str, Any]) -> dict[str, Any]:
    """Return the config of a small network for 2-D data."""
    raw_config["model"]["backbone"]["graph_cfg"] = {"layout": "coco_new"}
    raw_config["model"]["cls_head"]["joint_cfg"] = "coco_new"
    data = {"train_split": "train", "val_split": "val", "rotate": 0.0, "flip": 0.5}
    return raw_config | {"data": raw_config["data"] | data}


@pytest.fixture
def made() -> dict[str, Any]:
    """Return the content of a small file of 3-D data."""
    return synthetic.make_dataset(seed=1, classes=4, train=10, val=4)


@pytest.fixture(params=[ProtoGCN, FusedProtoGCN], ids=["plain", "fused"])
def small_model(config: TrainConfig, request: pytest.FixtureRequest) -> ProtoGCN:
    return moved_off_start(request.param(config.model))


@pytest.fixture
def moved() -> Callable[[torch.nn.Module], torch.nn.Module]:
    return moved_off_start


def moved_off_start(module: Any) -> Any:
    """Change every parameter and statistic; initial zeros would hide what they multiply."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return module
