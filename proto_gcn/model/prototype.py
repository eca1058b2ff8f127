"""The prototype reconstruction network (PRN): rewrites each joint relation as a mixture of learnt prototypes."""

import torch
from torch import Tensor, nn


class PrototypeReconstruction(nn.Module):
    """[..., C] -> [..., C]: z = W_m softmax(W_q r), with dropout on z (ProtoGCN, arXiv 2411.18941, section 3)."""

    def __init__(self, channels: int, prototypes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.query_matrix = nn.Linear(channels, prototypes, bias=False)
        self.memory_matrix = nn.Linear(prototypes, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, relations: Tensor) -> Tensor:
        response = torch.softmax(self.query_matrix(relations), dim=-1)
        return self.dropout(self.memory_matrix(response))
