"""This module defines the config sections for the optimiser, the schedule and the evaluation.

It also holds the section `engine`, which trades the memory of a step for time.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from proto_gcn.config.section import Count, NotNegative, Positive, Section


class OptimizerConfig(Section):
    """SGD updates all parameters with these values."""

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
    """The learning rate follows a cosine from lr to min_lr and changes at every step."""

    policy: Literal["CosineAnnealing"] = "CosineAnnealing"
    min_lr: NotNegative = 0.0
    by_epoch: Literal[False] = False


class EvaluationConfig(Section):
    """The validation split is scored every `interval` epochs with these metrics."""

    interval: Count = 1
    metrics: list[Literal["top_k_accuracy", "mean_class_accuracy"]] = ["top_k_accuracy"]
    topk: list[Count] = [1, 5]

    @model_validator(mode="after")
    def _top1_chooses_the_best_checkpoint(self) -> Self:
        if 1 not in self.topk:
            raise ValueError("topk must contain 1, because top-1 chooses the best checkpoint")
        return self


class Interval(Section):
    """An interval counts epochs in checkpoint_config and steps in log_config."""

    interval: Count = 1


def _described(text: str) -> object:
    return Field(description=text)


class EngineConfig(Section):
    """These keys trade time for memory; the defaults compute exactly what was published.

    docs/trainer-engine.md describes each one.
    """

    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"],
        _described(
            "Precision of products in training;"
            " weights, losses and batch statistics stay in float32."
        ),
    ] = "fp32"
    fused: Annotated[
        bool, _described("Use the fast implementation of the network; false: the plain one.")
    ] = True
    compile: Annotated[bool, _described("Compile every block with torch.compile.")] = False
    channels_last: Annotated[
        bool, _described("Store convolution weights in the channels-last memory format.")
    ] = False
    accumulate: Annotated[
        Count,
        _described(
            "Number of parts of a batch that are computed one after the other;"
            " batch norm sees each part alone."
        ),
    ] = 1
    recompute: Annotated[
        Literal["none", "activations", "blocks"],
        _described("What the backward pass computes again to save memory; results do not change."),
    ] = "activations"

    @model_validator(mode="after")
    def _compiled_blocks_choose_themselves(self) -> Self:
        if self.compile and self.recompute == "blocks":
            raise ValueError(
                "recompute must not be blocks when compile is true:"
                " the compiler itself chooses what to keep"
            )
        return self

    @model_validator(mode="after")
    def _plain_blocks_are_as_they_are(self) -> Self:
        if not self.fused and self.compile:
            raise ValueError("compile must be false when fused is false: only fused blocks compile")
        if not self.fused and self.recompute == "blocks":
            raise ValueError(
                "recompute must not be blocks when fused is false:"
                " the plain network keeps everything"
            )
        return self
