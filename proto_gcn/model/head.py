"""The whole network: the backbone, the classifier on its pooled features, and both losses."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from proto_gcn.config.train import HeadConfig, ModelConfig
from proto_gcn.model.backbone import Backbone
from proto_gcn.model.loss import ContrastiveLoss


class Output(NamedTuple):
    """logits [N, L], and three scalars that are None if no labels were given."""

    logits: Tensor
    loss: Tensor | None = None
    cross_entropy: Tensor | None = None
    contrastive: Tensor | None = None


class Head(nn.Module):
    """Map features [N, C], the mean over frames, joints and persons, to logits [N, L]."""

    contrastive_loss: ClassVar = ContrastiveLoss  # the fused head has its own

    def __init__(self, config: HeadConfig, in_channels: int, joints: int) -> None:
        super().__init__()
        self.csc_loss = self.contrastive_loss(joints * joints, config.num_classes, config.csc)
        self.dropout = nn.Dropout(config.dropout)
        self.fc_cls = nn.Linear(in_channels, config.num_classes)
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, features: Tensor) -> Tensor:
        return self.fc_cls(self.dropout(features))


class ProtoGCN(nn.Module):
    """Map clips [N, M, T, V, C] to Output; labels [N] add the losses.

    loss = cross-entropy + weight * contrastive loss. Logits do not need the prototypes, so these
    are computed only with labels. Classifier and losses are computed in full precision.
    """

    # The classes of the parts; the fused network has its own.
    backbone_type: ClassVar = Backbone
    head_type: ClassVar = Head

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        joints = config.backbone.graph_cfg.skeleton.joints
        self.backbone = self.backbone_type(config.backbone)
        self.cls_head = self.head_type(config.cls_head, self.backbone.out_channels, joints)
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
        loss = cross_entropy + self.weight * contrastive
        return Output(logits, loss, cross_entropy, contrastive)

    @property
    def memory(self) -> Tensor:
        """F [dim, L] of the contrastive loss, which state_dict() leaves out."""
        return self.cls_head.csc_loss.memory

    @memory.setter
    def memory(self, value: Tensor) -> None:
        self.cls_head.csc_loss.memory = value.to(self.cls_head.fc_cls.weight.device)

    @torch.no_grad()
    def scores(self, clips: Tensor) -> Tensor:
        """Map clips [N, n, M, T, V, C] to [N, L]: the mean of the n clips' class probabilities."""
        samples, views = clips.shape[:2]
        logits = self(clips.flatten(0, 1)).logits
        return torch.softmax(logits, dim=1).unflatten(0, (samples, views)).mean(dim=1)


def in_full_precision(tensor: Tensor) -> torch.autocast:
    """Switch autocast off: what is cheap, and what is compared, is not rounded."""
    return torch.autocast(tensor.device.type, enabled=False)
