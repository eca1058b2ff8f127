"""This module defines the keys of the config section `model`."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from proto_gcn.config.graph import GraphConfig
from proto_gcn.config.section import Count, Layout, NotNegative, Positive, Section, Share

Branch = Annotated[list[Count | Literal["max"]], Field(min_length=2, max_length=2)] | Literal["1x1"]


class BackboneConfig(Section):
    """The backbone is a row of stages, each a graph unit and a temporal unit."""

    type: Literal["ProtoGCN"] = "ProtoGCN"
    in_channels: Literal[3] = 3
    base_channels: Annotated[int, Field(ge=8)] = 96
    ch_ratio: Annotated[float, Field(ge=1, le=8)] = 2
    num_stages: Count = 10
    inflate_stages: list[Count] = [5, 8]
    down_stages: list[Count] = [5, 8]
    data_bn_type: Literal["VC", "MVC", "none"] = "VC"
    num_person: Count = 2
    num_prototype: Count = 400
    prn_dropout: Share = 0.1
    gcn_ratio: Annotated[float, Field(gt=0, le=1)] = 0.125
    # Each of the next three corrects a behaviour of the published code (docs/trainer-model.md).
    gcn_scales: Literal["first", "each"] = "first"
    gcn_scale_init: float = 0.0
    prn_input: Literal["refinement", "topology"] = "refinement"
    tcn_ms_cfg: Annotated[list[Branch], Field(min_length=1)] = [
        [3, 1],
        [3, 2],
        [3, 3],
        [3, 4],
        ["max", 3],
        "1x1",
    ]
    graph_cfg: GraphConfig = GraphConfig()

    def stage_channels(self, stage: int) -> int:
        """Return the width after a stage (1 is the first).

        It is base_channels, multiplied by ch_ratio at every inflate stage so far.
        """
        inflations = sum(2 <= s <= stage for s in set(self.inflate_stages))
        return int(self.base_channels * self.ch_ratio**inflations + 1e-4)

    @model_validator(mode="after")
    def _wide_enough(self) -> Self:
        if int(self.base_channels * self.gcn_ratio) < 1:
            raise ValueError("base_channels x gcn_ratio must be at least 1")
        if self.base_channels < len(self.tcn_ms_cfg):
            raise ValueError("base_channels must be at least the number of branches in tcn_ms_cfg")
        return self

    @field_validator("tcn_ms_cfg")
    @classmethod
    def _branches_are_known(
        cls, branches: list[list[int | str] | str]
    ) -> list[list[int | str] | str]:
        for first, second in (branch for branch in branches if not isinstance(branch, str)):
            if second == "max":
                raise ValueError('a branch must be [kernel, dilation], [max, kernel] or "1x1"')
            if int(second if first == "max" else first) % 2 == 0:
                raise ValueError("a kernel must be odd")
        return branches


class ContrastConfig(Section):
    """The class-specific contrastive loss (Proto-GCN, CVPR 2025) has a memory F [dim, classes]."""

    dim: Count = 256
    temperature: Positive = 0.125
    momentum: Share = 0.9
    threshold: Share = 0.0


class HeadConfig(Section):
    """The classifier and the loss weights; in_channels follows from the backbone by default."""

    type: Literal["SimpleHead"] = "SimpleHead"
    joint_cfg: Layout = "nturgb+d"
    num_classes: Annotated[int, Field(ge=2)] = 60
    in_channels: Count | None = None
    weight: NotNegative = 0.2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    csc: ContrastConfig = ContrastConfig()


class ModelConfig(Section):
    """The network is a backbone and a classification head."""

    backbone: BackboneConfig = BackboneConfig()
    cls_head: HeadConfig = HeadConfig()

    @model_validator(mode="after")
    def _head_fits_the_backbone(self) -> Self:
        width = self.backbone.stage_channels(self.backbone.num_stages)
        if self.cls_head.in_channels not in (None, width):
            raise ValueError(
                f"cls_head.in_channels must be {width}, the width of the last stage;"
                " or leave it out"
            )
        if self.cls_head.joint_cfg != self.backbone.graph_cfg.layout:
            raise ValueError(
                f"cls_head.joint_cfg must be {self.backbone.graph_cfg.layout},"
                " the same as backbone.graph_cfg.layout"
            )
        return self
