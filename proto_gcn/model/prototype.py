"""The prototype reconstruction network (PRN): rewrites each joint relation as a mixture of learnt prototypes."""

import torch
from torch import Tensor, nn

from proto_gcn.model.fused.pointwise import pointwise


class PrototypeReconstruction(nn.Module):
    """[N, C, pairs] -> [N, C, pairs]: z = W_m softmax(W_q r) of every pair r, with dropout on z (spec, section 5)."""

    def __init__(self, channels: int, prototypes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.query_matrix = nn.Linear(channels, prototypes, bias=False)
        self.memory_matrix = nn.Linear(prototypes, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, relations: Tensor) -> Tensor:
        response = torch.softmax(pointwise(relations, self.query_matrix.weight), dim=1)
        return self.dropout(pointwise(response, self.memory_matrix.weight))
