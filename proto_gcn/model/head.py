"""The classifier on pooled features, and the whole network."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.config.train import HeadConfig, ModelConfig
from proto_gcn.model.backbone import Backbone
from proto_gcn.model.loss import ContrastiveLoss


class Output(NamedTuple):
    """logits [N, L]; loss, cross_entropy and contrastive are scalars, and None where no labels were given."""

    logits: Tensor
    loss: Tensor | None = None
    cross_entropy: Tensor | None = None
    contrastive: Tensor | None = None


class Head(nn.Module):
    """Features [N, C], the mean over time, joints and persons -> logits [N, L]."""

    def __init__(self, config: HeadConfig, in_channels: int, joints: int) -> None:
        super().__init__()
        self.csc_loss = ContrastiveLoss(joints * joints, config.num_classes, config.csc)
        self.dropout = nn.Dropout(config.dropout)
        self.fc_cls = nn.Linear(in_channels, config.num_classes)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc_cls(self.dropout(features))


def in_full_precision(tensor: Tensor) -> torch.autocast:
    """Autocast off: what is cheap, and what is compared, is not rounded."""
    return torch.autocast(tensor.device.type, enabled=False)


class ProtoGCN(nn.Module):
    """Clips [N, M, T, V, C] -> Output; labels [N] switch the losses on (loss = cross-entropy + weight * contrastive).

    Logits need the trunk and the classifier alone, so prototypes cost nothing without labels.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config.backbone)
        self.cls_head = Head(
            config.cls_head, self.backbone.out_channels, config.backbone.graph_cfg.skeleton.joints
        )
        self.weight = config.cls_head.weight

    def forward(self, clips: Tensor, labels: Tensor | None = None) -> Output:
        trunk = self.backbone(clips)
        with in_full_precision(clips):
            logits = self.cls_head(trunk.mean_features())
        if labels is None:
            return Output(logits)
        graph = self.backbone.graph(self.backbone.topology(trunk))
        with in_full_precision(clips):
            cross_entropy = functional.cross_entropy(logits, labels)
            contrastive = self.cls_head.csc_loss(graph, labels, logits)
        return Output(logits, cross_entropy + self.weight * contrastive, cross_entropy, contrastive)

    @property
    def memory(self) -> Tensor:
        """F [dim, L] of the contrastive loss, which state_dict() leaves out."""
        return self.cls_head.csc_loss.memory

    @memory.setter
    def memory(self, value: Tensor) -> None:
        self.cls_head.csc_loss.memory = value.to(self.cls_head.fc_cls.weight.device)

    @torch.no_grad()
    def scores(self, clips: Tensor) -> Tensor:
        """Clips [N, n, M, T, V, C] -> [N, L]: mean over the n clips of the class probabilities."""
        samples, views = clips.shape[:2]
        logits = self(clips.flatten(0, 1)).logits
        return torch.softmax(logits, dim=1).unflatten(0, (samples, views)).mean(dim=1)
