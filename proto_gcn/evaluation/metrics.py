"""This module computes metrics of scores.

They equal the multiclass accuracy, recall and confusion matrix of torchmetrics, also for ties.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from proto_gcn.config.train import EvaluationConfig


def measure(scores: Tensor, labels: Tensor, config: EvaluationConfig) -> dict[str, float]:
    """Return the metrics that the config selects, in percent: top1, top5, ..., mean_class."""
    measured = measure_all(scores, labels, config.topk)
    if "mean_class_accuracy" not in config.metrics:
        del measured["mean_class"]
    return measured


def measure_all(scores: Tensor, labels: Tensor, ks: Sequence[int] = (1, 5)) -> dict[str, float]:
    """Return top1, top5, ... and mean_class in percent."""
    return {
        **{f"top{k}": top_k(scores, labels, k) for k in ks},
        "mean_class": mean_class(scores, labels),
    }


def top_k(scores: Tensor, labels: Tensor, k: int) -> float:
    """Return the percentage of samples [N] with the label among the k highest scores [N, L]."""
    if k == 1:  # for equal scores argmax takes the first, but topk may take another
        return 100 * (scores.argmax(dim=1) == labels).double().mean().item()
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return 100 * (best == labels[:, None]).any(dim=1).double().mean().item()


def mean_class(scores: Tensor, labels: Tensor) -> float:
    """Return the mean recall in percent over the classes that occur as label or prediction.

    A class that was only predicted has the recall 0.
    """
    matrix = confusion(scores, labels)
    occurs = (matrix.sum(dim=0) + matrix.sum(dim=1)) > 0
    return 100 * recalls(matrix)[occurs].nan_to_num(0.0).mean().item()


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Return int64 counts [L, L], indexed [label, prediction]."""
    classes = scores.shape[1]
    return torch.bincount(labels * classes + scores.argmax(dim=1), minlength=classes**2).view(
        classes, classes
    )


def recalls(matrix: Tensor) -> Tensor:
    """Return the recall [L] of each class, float64; NaN for a class without samples."""
    return matrix.diagonal().double() / matrix.sum(dim=1)
