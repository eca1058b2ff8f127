"""The trunk: input batch norm, stages of graph and temporal units, and the prototype view of the last topology."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from proto_gcn.config.train import BackboneConfig
from proto_gcn.model.absent_persons import Rows, every_slot, merge_absent
from proto_gcn.model.compiled import compile_each, compiler_advice
from proto_gcn.model.fused.norm import batch_norm, conv_norm
from proto_gcn.model.fused.recompute import Recompute, lean
from proto_gcn.model.fused.statistics import frozen_statistics
from proto_gcn.model.gcn import GraphOutput, GraphUnit
from proto_gcn.model.graph import initial_adjacency
from proto_gcn.model.prototype import PrototypeReconstruction
from proto_gcn.model.tcn import Branch, TemporalUnit


class Stage(NamedTuple):
    """Shape of one block."""

    in_channels: int
    channels: int
    stride: int
    residual: bool


class Trunk(NamedTuple):
    """What the last block knows of each of the R computed rows, and which row stands for which person.

    values [R, C, T', V]; pooled [R, Cin, 1, V] is what the topology of the last block comes from.
    """

    values: Tensor
    pooled: Tensor
    rows: Rows

    @property
    def features(self) -> Tensor:
        """[N, M, C, T', V], every person for itself."""
        return self.rows.per_slot(self.values)

    def mean_features(self) -> Tensor:
        """[N, C]: mean over time and joints, then over persons; never in half precision."""
        wide = torch.promote_types(self.values.dtype, torch.float32)
        return self.rows.per_slot(self.values.mean(dim=(2, 3), dtype=wide)).mean(dim=1)


def stages(config: BackboneConfig) -> list[Stage]:
    """The blocks: width grows by ch_ratio at inflate_stages, time halves at down_stages (stages count from 1)."""
    first = Stage(config.in_channels, config.base_channels, 1, residual=False)
    plan = [first] if config.in_channels != config.base_channels else []
    for number in range(2, config.num_stages + 1):
        stride = 2 if number in config.down_stages else 1
        widths = config.stage_channels(number - 1), config.stage_channels(number)
        plan.append(Stage(*widths, stride, residual=True))
    return plan


def _first_and_second_pass() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), frozen_statistics()


class Residual(nn.Module):
    """1x1 convolution and batch norm, for a block that changes width or length."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.conv = nn.Conv2d(stage.in_channels, stage.channels, 1, (stage.stride, 1))
        self.bn = nn.BatchNorm2d(stage.channels)

    def forward(self, x: Tensor, copies: int = 1) -> Tensor:
        return conv_norm(self.conv, self.bn, x, copies)


class Block(nn.Module):
    """Graph unit, temporal unit, residual; returns features and what the graph unit's topology comes from."""

    def __init__(self, stage: Stage, adjacency: Tensor, config: BackboneConfig) -> None:
        super().__init__()
        branches: list[Branch] = list(config.tcn_ms_cfg)
        how = config.gcn_ratio, config.gcn_scales, config.gcn_scale_init
        self.gcn = GraphUnit(stage.in_channels, stage.channels, adjacency, *how)
        self.tcn = TemporalUnit(stage.channels, branches, adjacency.shape[-1], stage.stride)
        self.residual: nn.Module | None = None
        if stage.residual:
            same = stage.in_channels == stage.channels and stage.stride == 1
            self.residual = nn.Identity() if same else Residual(stage)

    def forward(self, x: Tensor, copies: int = 1) -> GraphOutput:
        """The last row of x [R, Cin, T, V] counts `copies` times in the batch statistics."""
        features, pooled = self.gcn(x, copies)
        residual = self.residual(x, copies) if isinstance(self.residual, Residual) else x
        return GraphOutput(
            self.tcn(features, copies, None if self.residual is None else residual, relu=True),
            pooled,
        )


class Backbone(nn.Module):
    """Clips [N, M, T, V, C] -> Trunk; `graph` turns the last topology into what the contrastive loss compares.

    `merge_absent` computes all absent persons as one (rows.py). `recompute` says what the backward pass computes once
    more: "none", the "activations" after batch norms (little time), or whole "blocks", of which then no more than the
    input is kept (a third of the time). Neither changes a result.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        plan, joints = stages(config), config.graph_cfg.skeleton.joints
        persons = {"VC": 1, "MVC": config.num_person, "none": 0}[config.data_bn_type]
        self.data_bn: nn.Module = (
            nn.BatchNorm1d(persons * joints * config.in_channels) if persons else nn.Identity()
        )
        self._mixes_persons = config.data_bn_type == "MVC"  # then absent persons differ
        self.merge_absent = True
        self.recompute: Recompute = "activations"
        self.prn_input = config.prn_input
        adjacency = initial_adjacency(
            config.graph_cfg
        )  # drawn once: every block starts from the same copy
        self.gcn = nn.ModuleList(Block(stage, adjacency, config) for stage in plan)
        self.out_channels = plan[-1].channels
        # Published code writes 384 here; this is the width that the last topology really has (384 by default).
        width = len(adjacency) * int(self.out_channels * config.gcn_ratio)
        self.post = nn.Conv2d(width, width, 1)
        self.bn = nn.BatchNorm2d(width)
        self.prn = PrototypeReconstruction(width, config.num_prototype, config.prn_dropout)

    def forward(self, clips: Tensor) -> Trunk:
        if self._mixes_persons:
            clips = self._normalise_jointly(clips)
        x, rows = (
            merge_absent(clips)
            if self.merge_absent and not self._mixes_persons
            else every_slot(clips)
        )
        x = self._normalise(x, rows.copies)
        pooled = x
        with lean(self.recompute == "activations"), compiler_advice():
            for block in self.gcn:
                x, pooled = self._run(block, x, rows.copies)
        return Trunk(x, pooled, rows)

    def compile_blocks(self, **options: Any) -> None:
        """torch.compile for every block, which leaves what depends on the data (who is absent) outside.

        Raises ConfigError at the first call where nothing can be compiled.
        """
        compile_each(self.gcn, **options)

    def topology(self, trunk: Trunk) -> Tensor:
        """[N, K*mid, V, V]: the last block's own part of the graph, mean over persons; never in half precision."""
        last = self.gcn[-1]
        assert isinstance(last, Block)
        topology = last.gcn.topology(trunk.pooled, whole=self.prn_input == "topology")
        with torch.autocast(topology.device.type, enabled=False):
            return trunk.rows.mean_over_persons(topology)

    def graph(self, topology: Tensor) -> Tensor:
        """[N, C, V, V] -> [N, V*V]: rebuilt from prototypes, mean over channels; never in half precision."""
        rebuilt = self.prn(topology.flatten(2)).unflatten(2, topology.shape[2:])
        mixed = conv_norm(self.post, self.bn, rebuilt, relu=True)
        return mixed.mean(dim=1, dtype=topology.dtype).flatten(1)

    def _run(self, block: nn.Module, x: Tensor, copies: int) -> GraphOutput:
        if self.recompute != "blocks" or not torch.is_grad_enabled():
            plain: GraphOutput = block(x, copies)
            return plain
        result: GraphOutput = checkpoint(
            block, x, copies, use_reentrant=False, context_fn=_first_and_second_pass
        )
        return result

    def _normalise(self, rows: Tensor, copies: int) -> Tensor:
        """[R, T, V, C] -> [R, C, T, V] through data_bn, whose channels are joint-major (v*C + c)."""
        _, frames, joints, channels = rows.shape
        x = rows.permute(0, 2, 3, 1).reshape(len(rows), -1, frames)
        if isinstance(self.data_bn, nn.BatchNorm1d) and not self._mixes_persons:
            x = batch_norm(self.data_bn, x, copies)
        return x.reshape(len(rows), joints, channels, frames).permute(0, 2, 3, 1).contiguous()

    def _normalise_jointly(self, clips: Tensor) -> Tensor:
        """[N, M, T, V, C] -> the same through data_bn, whose channels are person-major (m*V*C + v*C + c)."""
        n, m, t, v, c = clips.shape
        x = self.data_bn(clips.permute(0, 1, 3, 4, 2).reshape(n, -1, t))
        return x.reshape(n, m, v, c, t).permute(0, 1, 4, 2, 3)
