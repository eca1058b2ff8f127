"""This module lists the cases in which the networks are compared, and the tolerances."""

import torch
from torch import Tensor

from devtools.reference.pairs import model_config
from proto_gcn.config.train import ModelConfig

FRAMES = [50, 64, 100, 300]
#: Persons of each sample; absent ones are computed as one.
PERSONS = {"one": [1, 1], "two": [2, 2], "mixed": [1, 2, 1]}
LAYOUTS = ["nturgb+d", "coco_new"]
MODES = {"train": True, "eval": False}
LABELS = torch.tensor([0, 1, 2])  # the first is predicted by the networks of pairs.fast
FLOAT32, FLOAT64 = {"rtol": 1e-4, "atol": 1e-4}, {"rtol": 1e-8, "atol": 1e-8}

#: Blocks of every kind: without a residual, with the identity, and twice wider and half as long
NARROW = {
    "base_channels": 16,
    "num_stages": 4,
    "inflate_stages": [2, 4],
    "down_stages": [2, 4],
    "num_prototype": 5,
}


def narrow(layout: str = "nturgb+d", **backbone: object) -> ModelConfig:
    return model_config(layout, classes=4, dim=6, **{**NARROW, **backbone})


def joints_of(config: ModelConfig) -> int:
    return config.backbone.graph_cfg.skeleton.joints


def assert_close(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], close: dict[str, float]
) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, **close, msg=lambda text, name=name: f"{name}: {text}"
        )
