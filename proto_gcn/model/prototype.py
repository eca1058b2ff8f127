"""The prototype reconstruction network (PRN): rebuild joint relations from learnt prototypes."""

import torch
from torch import Tensor, nn


class PrototypeReconstruction(nn.Module):
    """Map every joint pair r [C] to W_m softmax(W_q r), a mixture of P prototypes of C values.

    W_q [P, C] asks how much each prototype responds; the columns of W_m [C, P] are the prototypes
    (arXiv 2411.18941). Dropout applies to the result.
    """

    def __init__(self, channels: int, prototypes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.query_matrix = nn.Linear(channels, prototypes, bias=False)
        self.memory_matrix = nn.Linear(prototypes, channels, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, relations: Tensor) -> Tensor:
        """Map relations [N, C, V*V] to rebuilt ones of the same shape."""
        pairs = relations.transpose(1, 2)  # [N, V*V, C]
        response = torch.softmax(self.query_matrix(pairs), dim=-1)  # [N, V*V, P]
        return self.dropout(self.memory_matrix(response)).transpose(1, 2)
