"""The prototype reconstruction network with its linear maps as products over all pairs at once."""

import torch
from torch import Tensor

from proto_gcn.model.fused.operations.pointwise import pointwise
from proto_gcn.model.prototype import PrototypeReconstruction


class FusedPrototypeReconstruction(PrototypeReconstruction):
    """The plain network without its transpositions."""

    def forward(self, relations: Tensor) -> Tensor:
        """Map relations [N, C, V*V] to rebuilt ones of the same shape."""
        response = torch.softmax(pointwise(relations, self.query_matrix.weight), dim=1)
        return self.dropout(pointwise(response, self.memory_matrix.weight))
