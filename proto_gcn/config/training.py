"""The keys of a config that say how is trained: optimiser, schedule, evaluation, and what a step costs."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from proto_gcn.config.section import Count, NotNegative, Positive, Section


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
            raise ValueError(
                "topk must contain 1, because top-1 decides which checkpoint is the best"
            )
        return self


class Interval(Section):
    """Every how many epochs (checkpoint_config) or steps (log_config)."""

    interval: Count = 1


class EngineConfig(Section):
    """What a step costs in time and memory; the defaults compute as published (docs/trainer-engine.md)."""

    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"],
        Field(
            description="Arithmetic of products in training; weights, losses and batch statistics stay float32."
        ),
    ] = "fp32"
    fused: Annotated[
        bool, Field(description="The fast implementation of the network; false: the plain one.")
    ] = True
    compile: Annotated[bool, Field(description="torch.compile for every block.")] = False
    channels_last: Annotated[
        bool, Field(description="Convolution weights in channels-last memory format.")
    ] = False
    accumulate: Annotated[
        Count,
        Field(
            description="Parts of a batch, computed one after the other; batch norm sees each part alone."
        ),
    ] = 1
    recompute: Annotated[
        Literal["none", "activations", "blocks"],
        Field(
            description="What the backward pass computes once more to save memory; changes no result."
        ),
    ] = "activations"

    @model_validator(mode="after")
    def _compiled_blocks_are_whole(self) -> Self:
        if self.compile and self.recompute == "blocks":
            raise ValueError(
                "recompute must not be blocks where compile is true (it decides by itself what to keep)"
            )
        return self

    @model_validator(mode="after")
    def _plain_blocks_are_as_they_are(self) -> Self:
        if not self.fused and self.compile:
            raise ValueError("compile must be false if fused is false: only fused blocks compile")
        if not self.fused and self.recompute == "blocks":
            raise ValueError(
                "recompute must not be blocks if fused is false: the plain network keeps everything"
            )
        return self
