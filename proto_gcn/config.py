"""The keys of a training config (the published ones), their types, limits and defaults.

``python -m proto_gcn.config > workflows/proto-gcn.schema.json`` writes the JSON Schema for submissions.
"""

import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Branch = Annotated[list[Count | Literal["max"]], Field(min_length=2, max_length=2)] | Literal["1x1"]


class Section(BaseModel):
    """A mapping in the config file: unknown keys and silently converted types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


class GraphConfig(Section):
    """Where the learnt adjacency A [num_filter, V, V] of every block starts from."""

    layout: Literal["nturgb+d"] = "nturgb+d"
    mode: Literal["random", "spatial"] = "random"
    num_filter: Count = 8
    init_off: float = 0.04
    init_std: NotNegative = 0.02

    @model_validator(mode="after")
    def _spatial_has_three_matrices(self) -> Self:
        if self.mode == "spatial" and self.num_filter != 3:
            raise ValueError("num_filter must be 3 when mode is spatial (self, inward, outward)")
        return self


class BackboneConfig(Section):
    """The trunk: stages of a graph unit and a temporal unit."""

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
    tcn_ms_cfg: Annotated[list[Branch], Field(min_length=1)] = [[3, 1], [3, 2], [3, 3], [3, 4], ["max", 3], "1x1"]
    graph_cfg: GraphConfig = GraphConfig()

    def stage_channels(self, stage: int) -> int:
        """Width after a stage (1 is the first): base_channels grown by ch_ratio at every inflate stage so far."""
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
    def _branches_are_known(cls, branches: list[list[int | str] | str]) -> list[list[int | str] | str]:
        for first, second in (branch for branch in branches if not isinstance(branch, str)):
            if second == "max":
                raise ValueError('a branch must be [kernel, dilation], [max, kernel] or "1x1"')
            if int(second if first == "max" else first) % 2 == 0:
                raise ValueError("a kernel must be odd")
        return branches


class ContrastConfig(Section):
    """The class-specific contrastive loss and its memory F [dim, classes]."""

    dim: Count = 256
    temperature: Positive = 0.125
    momentum: Share = 0.9
    threshold: Share = 0.0


class HeadConfig(Section):
    """Classifier and loss weights; in_channels follows from the backbone and may be left out."""

    type: Literal["SimpleHead"] = "SimpleHead"
    joint_cfg: Literal["nturgb+d"] = "nturgb+d"
    num_classes: Annotated[int, Field(ge=2)] = 60
    in_channels: Count | None = None
    weight: NotNegative = 0.2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    csc: ContrastConfig = ContrastConfig()


class ModelConfig(Section):
    """The network."""

    backbone: BackboneConfig = BackboneConfig()
    cls_head: HeadConfig = HeadConfig()

    @model_validator(mode="after")
    def _head_fits_the_backbone(self) -> Self:
        width = self.backbone.stage_channels(self.backbone.num_stages)
        if self.cls_head.in_channels not in (None, width):
            raise ValueError(f"cls_head.in_channels must be {width}, the width of the last stage (or be left out)")
        return self


class DataConfig(Section):
    """The data file, what is taken from it, and how it is batched."""

    ann_file: Annotated[str, Field(min_length=1)]
    train_split: str = "xsub_train"
    val_split: str = "xsub_val"
    clip_len: Annotated[int, Field(ge=4)] = 100
    num_person: Count = 2
    val_clips: Count = 1
    test_clips: Count | None = None
    test_seed: Annotated[int, Field(ge=0, lt=2**32)] = 255
    rotate: Annotated[float, Field(ge=0, le=3.2)] = 0.2
    flip: Share = 0.0
    part_drop: Share = 0.0
    videos_per_gpu: Count = 16
    workers_per_gpu: Annotated[int, Field(ge=0, le=64)] = 4


class OptimizerConfig(Section):
    """SGD on all parameters."""

    type: Literal["SGD"] = "SGD"
    lr: Positive = 0.025
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 0.0005
    nesterov: bool = True

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0")
        return self


class ScheduleConfig(Section):
    """Cosine from lr to min_lr, stepped every iteration."""

    policy: Literal["CosineAnnealing"] = "CosineAnnealing"
    min_lr: NotNegative = 0.0
    by_epoch: Literal[False] = False


class EvaluationConfig(Section):
    """How often the validation split is scored, and with what."""

    interval: Count = 1
    metrics: list[Literal["top_k_accuracy", "mean_class_accuracy"]] = ["top_k_accuracy"]
    topk: list[Count] = [1, 5]

    @model_validator(mode="after")
    def _top1_decides_what_is_best(self) -> Self:
        if 1 not in self.topk:
            raise ValueError("topk must contain 1, because top-1 decides which checkpoint is the best")
        return self


class Interval(Section):
    """Every how many epochs (checkpoint_config) or steps (log_config)."""

    interval: Count = 1


class TrainConfig(Section):
    """A whole config file."""

    model: ModelConfig = ModelConfig()
    modality: Literal["j", "b", "k", "jm", "bm", "km"] = "j"
    data: DataConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    lr_config: ScheduleConfig = ScheduleConfig()
    total_epochs: Count = 150
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint_config: Interval = Interval()
    log_config: Interval = Interval(interval=100)
    work_dir: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    load_from: str | None = None
    resume_from: str | None = None

    @model_validator(mode="after")
    def _persons_agree(self) -> Self:
        backbone, data = self.model.backbone, self.data
        if backbone.data_bn_type == "MVC" and backbone.num_person != data.num_person:
            raise ValueError("data.num_person must equal model.backbone.num_person when data_bn_type is MVC")
        return self


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a config file."""
    schema = TrainConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Proto-GCN training config"}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
