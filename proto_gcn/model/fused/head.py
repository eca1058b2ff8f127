"""The whole network with fused blocks."""

from typing import ClassVar

from proto_gcn.model.fused.backbone import FusedBackbone
from proto_gcn.model.fused.loss import FusedContrastiveLoss
from proto_gcn.model.head import Head, ProtoGCN


class FusedHead(Head):
    """The plain head; its contrastive loss sees the samples of all processes."""

    contrastive_loss: ClassVar = FusedContrastiveLoss


class FusedProtoGCN(ProtoGCN):
    """The plain network with the blocks of this folder in place of its own."""

    backbone_type: ClassVar = FusedBackbone
    head_type: ClassVar = FusedHead
