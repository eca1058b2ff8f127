"""This module computes a network's scores on batches, and the mean topology of each class."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from proto_gcn.data.dataset import Batch
from proto_gcn.model.head import ProtoGCN, in_full_precision


class Scored(NamedTuple):
    """scores [N, L] are mean class probabilities over the clips, labels are [N]; on the CPU."""

    scores: Tensor
    labels: Tensor


def do_nothing() -> None:
    """Default for `between`."""


@torch.no_grad()
def score(
    model: ProtoGCN,
    batches: Iterable[Batch],
    between: Callable[[], None] = do_nothing,
    topology: "ClassMeans | None" = None,
) -> Scored:
    """Score all batches in eval mode, on the model's device.

    `between` is called after every batch and may raise. `topology` collects the topology of every
    sample.
    """
    model.eval()
    device = next(model.parameters()).device
    scores, labels = [], []
    for clips, label in batches:
        scores.append(_scores(model, clips.to(device, non_blocking=True), label, topology))
        labels.append(label)
        between()
    return Scored(torch.cat(scores), torch.cat(labels))


def _scores(
    model: ProtoGCN, clips: Tensor, labels: Tensor, topology: "ClassMeans | None"
) -> Tensor:
    if topology is None:
        return model.scores(clips).cpu()
    probabilities, matrices = scores_and_topology(model, clips)
    topology.add(matrices.cpu(), labels)
    return probabilities.cpu()


def scores_and_topology(model: ProtoGCN, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores [N, L] of clips [N, n, M, T, V, C], and the topology [N, V, V].

    The topology is the matrix by which the last graph unit multiplies the features of the first
    person in the first clip, [from v, to w], averaged over channels: the learned adjacency A plus
    the sample's own parts (`inter` and `intra` in the published code).
    """
    samples, views = clips.shape[:2]
    trunk = model.backbone(clips.flatten(0, 1))
    with in_full_precision(clips):
        logits = model.cls_head(trunk.mean_features())
    probabilities = torch.softmax(logits, dim=1).unflatten(0, (samples, views)).mean(dim=1)
    return probabilities, trunk.first_person(every=views).mean(dim=1)


class ClassMeans:
    """The mean of [V, V] matrices for each label; it stores one matrix per class."""

    def __init__(self, classes: int) -> None:
        self._counts = torch.zeros(classes)
        self._sums = torch.zeros(())

    def add(self, matrices: Tensor, labels: Tensor) -> None:
        """Add matrices [N, V, V] with labels [N]; the label -1 is ignored."""
        if self._sums.ndim == 0:
            self._sums = matrices.new_zeros(len(self._counts), *matrices.shape[1:])
        known = labels >= 0
        self._sums.index_add_(0, labels[known], matrices[known])
        self._counts.index_add_(0, labels[known], torch.ones(int(known.sum())))

    def means(self) -> Tensor:
        """Return the means [L, V, V]; NaN for a class without samples."""
        return self._sums / self._counts[:, None, None]
