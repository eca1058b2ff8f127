"""This module defines a whole training config: its keys, their types, limits and defaults.

The keys are those of the published configs. `python -m proto_gcn.config` prints the JSON Schema.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from proto_gcn.config.data import DataConfig
from proto_gcn.config.graph import GraphConfig
from proto_gcn.config.model import BackboneConfig, ContrastConfig, HeadConfig, ModelConfig
from proto_gcn.config.recipe import (
    EngineConfig,
    EvaluationConfig,
    Interval,
    OptimizerConfig,
    ScheduleConfig,
)
from proto_gcn.config.section import Count, Section

__all__ = [
    "BackboneConfig",
    "Base",
    "ContrastConfig",
    "DataConfig",
    "EngineConfig",
    "EvaluationConfig",
    "GraphConfig",
    "HeadConfig",
    "ModelConfig",
    "OptimizerConfig",
    "TrainConfig",
    "json_schema",
]

Base = Literal["ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset", "finegym", "k400"]


class TrainConfig(Section):
    """A whole config file; keys that it leaves out come from its base, then from these defaults."""

    base: Base | None = None
    model: ModelConfig = ModelConfig()
    modality: Literal["j", "b", "k", "jm", "bm", "km"] = "j"
    data: DataConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    engine: EngineConfig = EngineConfig()
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
            raise ValueError(
                "data.num_person must equal model.backbone.num_person when data_bn_type is MVC"
            )
        return self

    @model_validator(mode="after")
    def _parts_have_samples(self) -> Self:
        if self.engine.accumulate > self.data.videos_per_gpu:
            raise ValueError(
                "engine.accumulate must be at most data.videos_per_gpu, which it splits into parts"
            )
        return self

    @model_validator(mode="after")
    def _data_keys_fit_the_layout(self) -> Self:
        for key, cause in self.data.set_but_useless(self.model.backbone.graph_cfg).items():
            off = "0" if isinstance(getattr(self.data, key), float) else "left out"
            raise ValueError(f"data.{key} must be {off} when model.backbone.graph_cfg.{cause}")
        return self


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config file.

    No key is required when the file names a base.
    """
    schema = TrainConfig.model_json_schema()
    needed, data_needed = schema.pop("required"), schema["$defs"]["DataConfig"].pop("required")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Proto-GCN training config",
        "if": {"not": {"required": ["base"], "properties": {"base": {"type": "string"}}}},
        "then": {"required": needed, "properties": {"data": {"required": data_needed}}},
    }
