"""The class-specific contrastive loss (CSC): pulls a sample's graph to the mean of its class."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.config.train import ContrastConfig

EPSILON = 1e-12


class ContrastiveLoss(nn.Module):
    """Map graph [N, V*V], labels [N] and logits [N, L] to a scalar (arXiv 2411.18941).

    Every class has a column of the memory F [dim, L], the running mean of its recognised samples;
    every call updates it. It is not a buffer, because published checkpoints have no key for it; our
    own checkpoints store `memory` beside the state_dict.
    """

    memory: Tensor

    def __init__(self, graph_width: int, classes: int, config: ContrastConfig) -> None:
        super().__init__()
        self.cl_fc = nn.Linear(graph_width, config.dim)
        self.config = config
        self.memory = torch.randn(config.dim, classes)

    def forward(self, graph: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Update the memory, then return the cross-entropy of similarities to its columns."""
        features = self.cl_fc(graph)  # [N, dim]
        memory = self._updated_memory(features, self._recognised(labels, logits.detach()))
        self.memory = memory.detach()
        similarities = _unit(features, dim=1) @ _unit(memory, dim=0)  # [N, L]
        return functional.cross_entropy(similarities / self.config.temperature, labels)

    def _recognised(self, labels: Tensor, logits: Tensor) -> Tensor:
        """Return [N, L]: 1 at a sample's own class if that is predicted, else 0.

        Its probability must be above the threshold.
        """
        confidence, predicted = torch.softmax(logits, dim=1).max(dim=1)
        right = (predicted == labels) & (confidence > self.config.threshold)
        return functional.one_hot(labels, logits.shape[1]) * right[:, None]

    def _updated_memory(self, features: Tensor, recognised: Tensor) -> Tensor:
        """Return F with the columns of recognised classes moved towards their means.

        The gradient runs through these means.
        """
        count, mean = self.class_means(features, recognised.to(features.dtype))
        old, momentum = self.memory.to(features), self.config.momentum
        return torch.where(count > 0, momentum * old + (1 - momentum) * mean, old)

    def class_means(self, features: Tensor, recognised: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of recognised samples of each class [L] and their mean [dim, L]."""
        count = recognised.sum(dim=0)
        return count, features.T @ recognised / (count + EPSILON)


def _unit(x: Tensor, dim: int) -> Tensor:
    return x / (x.norm(dim=dim, keepdim=True) + EPSILON)
