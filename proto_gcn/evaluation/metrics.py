"""How good scores are: equal to torchmetrics' multiclass accuracy, recall and confusion matrix, ties included."""

from collections.abc import Sequence

import torch
from torch import Tensor

from proto_gcn.config.train import EvaluationConfig


def measure(scores: Tensor, labels: Tensor, config: EvaluationConfig) -> dict[str, float]:
    """The metrics that the config asks for, in percent: top1, top5, ..., mean_class."""
    measured = measure_all(scores, labels, config.topk)
    if "mean_class_accuracy" not in config.metrics:
        del measured["mean_class"]
    return measured


def measure_all(scores: Tensor, labels: Tensor, ks: Sequence[int] = (1, 5)) -> dict[str, float]:
    """top1, top5, ... and mean_class, in percent."""
    return {
        **{f"top{k}": top_k(scores, labels, k) for k in ks},
        "mean_class": mean_class(scores, labels),
    }


def top_k(scores: Tensor, labels: Tensor, k: int) -> float:
    """Percentage of samples [N] whose label is among the k highest scores [N, L]; with k >= L all are."""
    if k == 1:  # of equal scores argmax takes the first, topk may take another
        return 100 * (scores.argmax(dim=1) == labels).double().mean().item()
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return 100 * (best == labels[:, None]).any(dim=1).double().mean().item()


def mean_class(scores: Tensor, labels: Tensor) -> float:
    """Mean recall in percent over the classes that occur as label or prediction (predicted only: recall 0)."""
    matrix = confusion(scores, labels)
    occurs = (matrix.sum(dim=0) + matrix.sum(dim=1)) > 0
    return 100 * recalls(matrix)[occurs].nan_to_num(0.0).mean().item()


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """[L, L] int64 counts, [label, prediction]."""
    classes = scores.shape[1]
    return torch.bincount(labels * classes + scores.argmax(dim=1), minlength=classes**2).view(
        classes, classes
    )


def recalls(matrix: Tensor) -> Tensor:
    """The share [L] of each class that is recognised, float64; NaN for a class without samples."""
    return matrix.diagonal().double() / matrix.sum(dim=1)
