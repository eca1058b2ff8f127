"""The trunk: input batch norm, stages of graph and temporal units, and the prototype view of the last topology."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from proto_gcn.config import BackboneConfig
from proto_gcn.model.gcn import GraphUnit
from proto_gcn.model.graph import LAYOUTS, initial_adjacency
from proto_gcn.model.prototype import PrototypeReconstruction
from proto_gcn.model.tcn import Branch, TemporalUnit


class Stage(NamedTuple):
    """Shape of one block."""

    in_channels: int
    channels: int
    stride: int
    residual: bool


class Trunk(NamedTuple):
    """features [N, M, C, T', V]; topology [N*M, K*mid, V, V] of the last block."""

    features: Tensor
    topology: Tensor


def stages(config: BackboneConfig) -> list[Stage]:
    """The blocks: width grows by ch_ratio at inflate_stages, time halves at down_stages (stages count from 1)."""
    first = Stage(config.in_channels, config.base_channels, 1, residual=False)
    plan = [first] if config.in_channels != config.base_channels else []
    for number in range(2, config.num_stages + 1):
        stride = 2 if number in config.down_stages else 1
        widths = config.stage_channels(number - 1), config.stage_channels(number)
        plan.append(Stage(*widths, stride, residual=True))
    return plan


class Residual(nn.Module):
    """1x1 convolution and batch norm, for a block that changes width or length."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.conv = nn.Conv2d(stage.in_channels, stage.channels, 1, (stage.stride, 1))
        self.bn = nn.BatchNorm2d(stage.channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Block(nn.Module):
    """Graph unit, temporal unit, residual; returns features and the graph unit's topology."""

    def __init__(self, stage: Stage, adjacency: Tensor, ratio: float, branches: list[Branch]) -> None:
        super().__init__()
        self.gcn = GraphUnit(stage.in_channels, stage.channels, adjacency, ratio)
        self.tcn = TemporalUnit(stage.channels, branches, adjacency.shape[-1], stage.stride)
        self.residual: nn.Module | None = None
        if stage.residual:
            same = stage.in_channels == stage.channels and stage.stride == 1
            self.residual = nn.Identity() if same else Residual(stage)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, topology = self.gcn(x)
        y = self.tcn(features)
        return torch.relu(y if self.residual is None else y + self.residual(x)), topology


class Backbone(nn.Module):
    """Clips [N, M, T, V, C] -> Trunk; `graph` turns its topology into what the contrastive loss compares."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        plan, joints = stages(config), LAYOUTS[config.graph_cfg.layout].joints
        persons = {"VC": 1, "MVC": config.num_person, "none": 0}[config.data_bn_type]
        self.data_bn: nn.Module = nn.BatchNorm1d(persons * joints * config.in_channels) if persons else nn.Identity()
        self._merge_persons = config.data_bn_type == "MVC"
        adjacency = initial_adjacency(config.graph_cfg)  # drawn once: every block starts from the same copy
        branches: list[Branch] = list(config.tcn_ms_cfg)
        self.gcn = nn.ModuleList(Block(stage, adjacency, config.gcn_ratio, branches) for stage in plan)
        self.out_channels = plan[-1].channels
        # Published code writes 384 here; this is the width that the last topology really has (384 by default).
        width = len(adjacency) * int(self.out_channels * config.gcn_ratio)
        self.post = nn.Conv2d(width, width, 1)
        self.bn = nn.BatchNorm2d(width)
        self.prn = PrototypeReconstruction(width, config.num_prototype, config.prn_dropout)

    def forward(self, clips: Tensor) -> Trunk:
        x, topology = self._normalise(clips), clips
        for block in self.gcn:
            x, topology = block(x)
        return Trunk(x.unflatten(0, clips.shape[:2]), topology)

    def graph(self, topology: Tensor, persons: int) -> Tensor:
        """[N*M, C, V, V] -> [N, V*V]: mean over persons, rebuilt from prototypes, mean over channels."""
        mean = topology.unflatten(0, (-1, persons)).mean(dim=1)
        rebuilt = self.prn(mean.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, mean.shape[2:])
        return torch.relu(self.bn(self.post(rebuilt))).mean(dim=1).flatten(1)

    def _normalise(self, clips: Tensor) -> Tensor:
        """[N, M, T, V, C] -> [N*M, C, T, V] through data_bn, whose channels are joint-major (v*C + c)."""
        n, m, t, v, c = clips.shape
        rows = n if self._merge_persons else n * m
        x = self.data_bn(clips.permute(0, 1, 3, 4, 2).reshape(rows, -1, t))
        return x.reshape(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()
