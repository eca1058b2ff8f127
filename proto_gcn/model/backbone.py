"""The backbone: input batch norm, blocks of a graph and a temporal unit, the rebuilt topology."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.config.train import BackboneConfig
from proto_gcn.model.gcn import GraphUnit
from proto_gcn.model.graph import initial_adjacency
from proto_gcn.model.prototype import PrototypeReconstruction
from proto_gcn.model.tcn import Branch, TemporalUnit


class Stage(NamedTuple):
    """The shape of one block; `residual` is false in the first stage alone."""

    in_channels: int
    channels: int
    stride: int
    residual: bool

    @property
    def keeps_the_shape(self) -> bool:
        return self.in_channels == self.channels and self.stride == 1


def stages(config: BackboneConfig) -> list[Stage]:
    """Return the blocks: ch_ratio widens at inflate_stages, time halves at down_stages (from 1)."""
    first = Stage(config.in_channels, config.base_channels, 1, residual=False)
    plan = [first] if config.in_channels != config.base_channels else []
    for number in range(2, config.num_stages + 1):
        stride = 2 if number in config.down_stages else 1
        widths = config.stage_channels(number - 1), config.stage_channels(number)
        plan.append(Stage(*widths, stride, residual=True))
    return plan


class Trunk(NamedTuple):
    """A trunk is the last block's output for every person of a batch."""

    features: Tensor  # [N, M, C, T', V]
    refinement: Tensor  # [N, M, K*mid, V, V], the person's own part of the topology
    adjacency: Tensor  # [K*mid, V, V], the learnt part

    def mean_features(self) -> Tensor:
        """Return [N, C]: the mean over frames and joints, then over persons."""
        return self.features.mean(dim=(3, 4), dtype=at_least_float32(self.features)).mean(dim=1)

    def topology(self, whole: bool) -> Tensor:
        """Return [N, K*mid, V, V]: the mean of the refinements over persons; with A if whole."""
        own = self.refinement.mean(dim=1, dtype=at_least_float32(self.refinement))
        return own + self.adjacency if whole else own

    def first_person(self, every: int) -> Tensor:
        """Return the whole topology of the first person of every so many samples."""
        return self.refinement[::every, 0] + self.adjacency


class Residual(nn.Module):
    """A 1x1 convolution and batch norm, for a block that changes the width or the length."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.conv = nn.Conv2d(stage.in_channels, stage.channels, 1, (stage.stride, 1))
        self.bn = nn.BatchNorm2d(stage.channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, Cin, T, V] to [B, C, T', V]."""
        return self.bn(self.conv(x))


class Block(nn.Module):
    """relu(temporal unit(graph unit(x)) + residual(x)): x [B, Cin, T, V] to [B, C, T', V]."""

    # The classes of the parts; the fused block has its own.
    graph_unit: ClassVar = GraphUnit
    temporal_unit: ClassVar = TemporalUnit
    residual_unit: ClassVar = Residual

    def __init__(self, stage: Stage, adjacency: Tensor, config: BackboneConfig) -> None:
        super().__init__()
        branches: list[Branch] = list(config.tcn_ms_cfg)
        self.gcn = self.graph_unit(
            stage.in_channels,
            stage.channels,
            adjacency,
            ratio=config.gcn_ratio,
            scales=config.gcn_scales,
            scale_init=config.gcn_scale_init,
        )
        self.tcn = self.temporal_unit(stage.channels, branches, adjacency.shape[-1], stage.stride)
        self.residual: nn.Module | None = None  # no residual in the first stage
        if stage.residual:
            same = stage.keeps_the_shape
            self.residual = nn.Identity() if same else self.residual_unit(stage)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features [B, C, T', V] and the refinement [B, K*mid, V, V]."""
        mixed, refinement = self.gcn(x)
        out = self.tcn(mixed)
        if self.residual is not None:
            out = out + self.residual(x)
        return functional.relu(out), refinement


class Backbone(nn.Module):
    """Map clips [N, M, T, V, C] to the Trunk; `graph` rebuilds its topology from prototypes.

    Persons never mix. Logits need the trunk alone; `prn`, `post` and `bn` serve the contrastive
    loss.
    """

    # The classes of the parts; the fused backbone has its own.
    block: ClassVar = Block
    prototypes: ClassVar = PrototypeReconstruction

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        plan = stages(config)
        joints = config.graph_cfg.skeleton.joints
        persons = {"VC": 1, "MVC": config.num_person, "none": 0}[config.data_bn_type]
        self.data_bn: nn.Module = nn.Identity()
        if persons:
            self.data_bn = nn.BatchNorm1d(persons * joints * config.in_channels)
        self.norm_spans_persons = config.data_bn_type == "MVC"
        self.prn_input = config.prn_input
        adjacency = initial_adjacency(config.graph_cfg)  # one draw: all blocks start from it
        self.gcn = nn.ModuleList(self.block(stage, adjacency, config) for stage in plan)
        self.out_channels = plan[-1].channels
        # The published code writes 384 here. This is the width of the last topology: 384 with the
        # published configs.
        width = len(adjacency) * int(self.out_channels * config.gcn_ratio)
        self.post = nn.Conv2d(width, width, 1)
        self.bn = nn.BatchNorm2d(width)
        self.prn = self.prototypes(width, config.num_prototype, config.prn_dropout)

    def forward(self, clips: Tensor) -> Trunk:
        """Run all blocks on every person slot, also on those of absent persons."""
        x = self.normalised(clips)
        for block in self.gcn:
            x, refinement = block(x)
        slots = clips.shape[:2]
        adjacency = self.last_graph_unit.adjacency()
        return Trunk(x.unflatten(0, slots), refinement.unflatten(0, slots), adjacency)

    @property
    def last_graph_unit(self) -> GraphUnit:
        """The unit whose topology the prototypes rebuild."""
        block = self.gcn[-1]
        assert isinstance(block, Block)
        return block.gcn

    def normalised(self, clips: Tensor) -> Tensor:
        """Return [B, C, T, V], normalised per joint and coordinate (and person, with MVC).

        The channels of `data_bn` are v*C + c, with MVC m*V*C + v*C + c.
        """
        n, m, t, v, c = clips.shape
        by_channel = clips.permute(0, 1, 3, 4, 2)  # [N, M, V, C, T]
        rows = n if self.norm_spans_persons else n * m
        x = self.data_bn(by_channel.reshape(rows, -1, t))
        return x.reshape(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()

    def topology(self, trunk: Trunk) -> Tensor:
        """Return what prototypes see of the last topology, [N, K*mid, V, V]."""
        return trunk.topology(whole=self.prn_input == "topology")

    def graph(self, topology: Tensor) -> Tensor:
        """Map a topology [N, C, V, V] to [N, V*V]: rebuilt from prototypes, mean over channels."""
        rebuilt = self.prn(topology.flatten(2)).unflatten(2, topology.shape[2:])
        mixed = functional.relu(self.bn(self.post(rebuilt)))
        return mixed.mean(dim=1, dtype=topology.dtype).flatten(1)


def at_least_float32(values: Tensor) -> torch.dtype:
    """Return the type that means are taken in: half precision is widened."""
    return torch.promote_types(values.dtype, torch.float32)
