"""A network's scores on batches, and the topology that it works on for each class."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from proto_gcn.data.dataset import Batch
from proto_gcn.model.head import ProtoGCN, in_full_precision


class Scored(NamedTuple):
    """scores [N, L] (mean class probabilities over the clips) and labels [N], both on the CPU."""

    scores: Tensor
    labels: Tensor


def go_on() -> None:
    """Nothing between two batches."""


@torch.no_grad()
def score(
    model: ProtoGCN,
    batches: Iterable[Batch],
    between: Callable[[], None] = go_on,
    topology: "ClassMeans | None" = None,
) -> Scored:
    """In eval mode, on the device that the model is on; `between` is called after every batch and may raise.

    `topology` is given the topology of every sample.
    """
    model.eval()
    device = next(model.parameters()).device
    scores, labels = [], []
    for clips, label in batches:
        moved = clips.to(device, non_blocking=True)
        if topology is None:
            probabilities = model.scores(moved)
        else:
            probabilities, matrices = scores_and_topology(model, moved)
            topology.add(matrices.cpu(), label)
        scores.append(probabilities.cpu())
        labels.append(label)
        between()
    return Scored(torch.cat(scores), torch.cat(labels))


def scores_and_topology(model: ProtoGCN, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Clips [N, n, M, T, V, C] -> mean class probabilities [N, L] and, of the first clip, the topology [N, V, V].

    The topology is what the last graph unit multiplies with, A and the sample's own part (spec, section 3, step 6), of
    the first person, mean over channels; [from v, to w].
    """
    samples, views = clips.shape[:2]
    trunk = model.backbone(clips.flatten(0, 1))
    with in_full_precision(clips):
        logits = model.cls_head(trunk.mean_features())
    probabilities = torch.softmax(logits, dim=1).unflatten(0, (samples, views)).mean(dim=1)
    return probabilities, trunk.first_person(every=views).mean(dim=1)


class ClassMeans:
    """Means of [V, V] matrices by label, which hold one matrix a class and not one a sample."""

    def __init__(self, classes: int) -> None:
        self._counts, self._sums = torch.zeros(classes), torch.zeros(())

    def add(self, matrices: Tensor, labels: Tensor) -> None:
        """matrices [N, V, V], labels [N]; a label -1 counts nowhere."""
        if self._sums.ndim == 0:
            self._sums = matrices.new_zeros(len(self._counts), *matrices.shape[1:])
        known = labels >= 0
        self._sums.index_add_(0, labels[known], matrices[known])
        self._counts.index_add_(0, labels[known], torch.ones(int(known.sum())))

    def means(self) -> Tensor:
        """[L, V, V], NaN for a class without samples."""
        return self._sums / self._counts[:, None, None]
