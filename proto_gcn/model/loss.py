"""The class-specific contrastive loss (CSC): pulls a sample's graph to the running mean of its class."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.config.train import ContrastConfig
from proto_gcn.model.fused.all_reduce import summed

EPSILON = 1e-12


class ContrastiveLoss(nn.Module):
    """graph [N, width], labels [N], logits [N, L] -> scalar (ProtoGCN, arXiv 2411.18941, section 3).

    The memory F [dim, L] is updated at every call, from the samples of all processes, so that theirs stay alike. It is
    no buffer, because published checkpoints have no key for it; `memory` is read and set by our own checkpoints.
    """

    memory: Tensor

    def __init__(self, graph_width: int, classes: int, config: ContrastConfig) -> None:
        super().__init__()
        self.cl_fc = nn.Linear(graph_width, config.dim)
        self.config = config
        self.memory = torch.randn(config.dim, classes)

    def forward(self, graph: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        features = self.cl_fc(graph)
        memory = self._updated_memory(features, labels, logits.detach())
        self.memory = memory.detach()
        scores = _unit(features, dim=1) @ _unit(memory, dim=0) / self.config.temperature
        return functional.cross_entropy(scores, labels)

    def _updated_memory(self, features: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        """Moves the columns of classes that were recognised in this batch; the gradient runs through their means."""
        mask = self._recognised(labels, logits).to(features.dtype)
        count = summed(mask.sum(dim=0))
        mean = summed(features.T @ mask) / (count + EPSILON)
        old = self.memory.to(features)
        momentum = self.config.momentum
        return torch.where(count > 0, momentum * old + (1 - momentum) * mean, old)

    def _recognised(self, labels: Tensor, logits: Tensor) -> Tensor:
        """[N, L]: true at a sample's own class where it is predicted with a probability above the threshold."""
        confidence, predicted = torch.softmax(logits, dim=1).max(dim=1)
        right = (predicted == labels) & (confidence > self.config.threshold)
        return functional.one_hot(labels, logits.shape[1]).bool() & right[:, None]


def _unit(x: Tensor, dim: int) -> Tensor:
    return x / (x.norm(dim=dim, keepdim=True) + EPSILON)
