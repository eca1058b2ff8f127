"""The backbone, fused: absent persons are computed once, and topologies only where needed."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from proto_gcn.config.train import BackboneConfig
from proto_gcn.model.backbone import Backbone, Block, Residual, at_least_float32
from proto_gcn.model.fused.absent_persons import Rows, every_slot, merge_absent
from proto_gcn.model.fused.compiled import compile_each, compiler_advice
from proto_gcn.model.fused.gcn import FusedGraphUnit
from proto_gcn.model.fused.operations.norm import batch_norm, conv_norm
from proto_gcn.model.fused.operations.pointwise import ConvNorm
from proto_gcn.model.fused.operations.recompute import Recompute, recomputing_activations
from proto_gcn.model.fused.operations.statistics import frozen_statistics
from proto_gcn.model.fused.prototype import FusedPrototypeReconstruction
from proto_gcn.model.fused.tcn import FusedTemporalUnit


class FusedTrunk(NamedTuple):
    """This trunk has the R computed rows only, and the methods of the plain Trunk."""

    values: Tensor  # [R, C, T', V]
    pooled: Tensor  # [R, Cin, 1, V], from which the last block's topology is made
    rows: Rows  # which row is which person's
    unit: FusedGraphUnit  # the last block's

    @property
    def features(self) -> Tensor:
        """[N, M, C, T', V], with a copy for every absent person."""
        return self.rows.per_slot(self.values)

    def mean_features(self) -> Tensor:
        """Return [N, C]: the mean over frames and joints, then over persons."""
        by_row = self.values.mean(dim=(2, 3), dtype=at_least_float32(self.values))
        return self.rows.per_slot(by_row).mean(dim=1)

    def topology(self, whole: bool) -> Tensor:
        """Return [N, K*mid, V, V]: the mean of the refinements over persons; with A if whole."""
        by_row = self.unit.topology(self.pooled, whole)
        with torch.autocast(by_row.device.type, enabled=False):
            return self.rows.mean_over_persons(by_row)

    def first_person(self, every: int) -> Tensor:
        """Return the whole topology of the first person of every so many samples."""
        return self.unit.topology(self.pooled[self.rows.row[::every, 0]], whole=True)


class FusedResidual(Residual):
    """The plain residual, whose last row counts `copies` times in the batch statistics."""

    def forward(self, x: Tensor, copies: int = 1) -> Tensor:
        return conv_norm(ConvNorm(self.conv, self.bn), x, copies)


class FusedBlock(Block):
    """The plain block of fused units; the residual and the last ReLU join the last batch norm."""

    graph_unit: ClassVar = FusedGraphUnit
    temporal_unit: ClassVar = FusedTemporalUnit
    residual_unit: ClassVar = FusedResidual

    def forward(self, x: Tensor, copies: int = 1) -> tuple[Tensor, Tensor]:
        """Return features [R, C, T', V] and pooled [R, Cin, 1, V]."""
        features, pooled = self.gcn(x, copies)
        residual = None if self.residual is None else x
        if isinstance(self.residual, FusedResidual):
            residual = self.residual(x, copies)
        return self.tcn(features, copies, residual, relu=True), pooled


class FusedBackbone(Backbone):
    """Map clips [N, M, T, V, C] to a FusedTrunk.

    `merge_absent` computes all absent persons as one (absent_persons.py). `recompute` is what the
    backward pass computes again: "none", the "activations" after batch norms (which takes little
    time), or whole "blocks", of which only the input is kept then (a third of the time). Neither
    changes a result.
    """

    block: ClassVar = FusedBlock
    prototypes: ClassVar = FusedPrototypeReconstruction

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__(config)
        self.merge_absent = True
        self.recompute: Recompute = "activations"

    def forward(self, clips: Tensor) -> FusedTrunk:  # type: ignore[override]
        if self.norm_spans_persons:  # then absent persons differ
            clips = self._normalised_jointly(clips)
        merges = self.merge_absent and not self.norm_spans_persons
        x, rows = merge_absent(clips) if merges else every_slot(clips)
        x = self._normalised_rows(x, rows.copies)
        pooled = x
        with recomputing_activations(self.recompute == "activations"), compiler_advice():
            for block in self.gcn:
                x, pooled = self._run(block, x, rows.copies)
        unit = self.last_graph_unit
        assert isinstance(unit, FusedGraphUnit)
        return FusedTrunk(x, pooled, rows, unit)

    def compile_blocks(self, **options: Any) -> None:
        """Compile every block; who is absent depends on the data and stays outside.

        The first call raises ConfigError if this machine cannot compile.
        """
        compile_each(self.gcn, **options)

    def graph(self, topology: Tensor) -> Tensor:
        """Map a topology [N, C, V, V] to [N, V*V]: rebuilt from prototypes, mean over channels."""
        rebuilt = self.prn(topology.flatten(2)).unflatten(2, topology.shape[2:])
        mixed = conv_norm(ConvNorm(self.post, self.bn), rebuilt, relu=True)
        return mixed.mean(dim=1, dtype=topology.dtype).flatten(1)

    def _run(self, block: nn.Module, x: Tensor, copies: int) -> tuple[Tensor, Tensor]:
        if self.recompute != "blocks" or not torch.is_grad_enabled():
            plain: tuple[Tensor, Tensor] = block(x, copies)
            return plain
        result: tuple[Tensor, Tensor] = checkpoint(
            block, x, copies, use_reentrant=False, context_fn=_first_and_second_pass
        )
        return result

    def _normalised_rows(self, rows: Tensor, copies: int) -> Tensor:
        """Map [R, T, V, C] to [R, C, T, V] through data_bn, whose channels are v*C + c."""
        _, frames, joints, channels = rows.shape
        x = rows.permute(0, 2, 3, 1).reshape(len(rows), -1, frames)
        if isinstance(self.data_bn, nn.BatchNorm1d) and not self.norm_spans_persons:
            x = batch_norm(self.data_bn, x, copies)
        return x.reshape(len(rows), joints, channels, frames).permute(0, 2, 3, 1).contiguous()

    def _normalised_jointly(self, clips: Tensor) -> Tensor:
        """Pass [N, M, T, V, C] through data_bn, whose channels are m*V*C + v*C + c."""
        n, m, t, v, c = clips.shape
        assert isinstance(self.data_bn, nn.BatchNorm1d)
        x = batch_norm(self.data_bn, clips.permute(0, 1, 3, 4, 2).reshape(n, -1, t))
        return x.reshape(n, m, v, c, t).permute(0, 1, 4, 2, 3)


def _first_and_second_pass() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), frozen_statistics()
