"""Scores of a model on a split."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from proto_gcn.config import EvaluationConfig
from proto_gcn.data.dataset import Batch
from proto_gcn.engine.learner import Learner


def collect_scores(learner: Learner, batches: Iterable[Batch], between: Callable[[], None]) -> tuple[Tensor, Tensor]:
    """(scores [N, L], labels [N]) in eval mode; `between` is called after every batch and may raise to stop."""
    scores, labels = [], []
    learner.model.eval()
    for clips, label in batches:
        scores.append(learner.model.scores(clips.to(learner.device, non_blocking=True)).cpu())
        labels.append(label)
        between()
    return torch.cat(scores), torch.cat(labels)


def measure(scores: Tensor, labels: Tensor, config: EvaluationConfig) -> dict[str, float]:
    """The metrics that the config asks for, in percent: top1, top5, ..., mean_class."""
    measured = {f"top{k}": top_k(scores, labels, k) for k in config.topk}
    if "mean_class_accuracy" in config.metrics:
        measured["mean_class"] = mean_class(scores, labels)
    return measured


def top_k(scores: Tensor, labels: Tensor, k: int) -> float:
    """Percentage of samples whose label is among the k highest scores."""
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return 100 * (best == labels[:, None]).any(dim=1).double().mean().item()


def mean_class(scores: Tensor, labels: Tensor) -> float:
    """Mean recall in percent over the classes that occur as label or prediction (predicted only: recall 0)."""
    predicted = scores.argmax(dim=1)
    classes = torch.unique(torch.cat([labels, predicted]))
    recalls = [((predicted == c) & (labels == c)).sum() / (labels == c).sum().clamp(min=1) for c in classes]
    return 100 * torch.stack(recalls).double().mean().item()
