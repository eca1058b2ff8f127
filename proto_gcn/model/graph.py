"""Joint layouts and the matrices that the learnt adjacency of every block starts from."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from proto_gcn.config import GraphConfig


@dataclass(frozen=True)
class Layout:
    """A skeleton: bone_parents[v] is the joint next to v on the way to the centre (the centre is its own)."""

    centre: int
    bone_parents: tuple[int, ...]

    @property
    def joints(self) -> int:
        return len(self.bone_parents)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(child, parent) pairs without the centre."""
        return [(child, parent) for child, parent in enumerate(self.bone_parents) if child != parent]


# Kinect v2, 0-based. The feature b has two bones that are no edges (21->22, 23->24): see data/transforms.py.
NTU = Layout(20, (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 7, 7, 11, 11))
LAYOUTS = {"nturgb+d": NTU}


def initial_adjacency(config: GraphConfig) -> Tensor:
    """A [K, V, V] float32; mode random draws from numpy's global generator, as the published code does."""
    layout = LAYOUTS[config.layout]
    if config.mode == "random":
        shape = config.num_filter, layout.joints, layout.joints
        return torch.from_numpy(np.random.randn(*shape) * config.init_std + config.init_off).float()
    inward = _edge_matrix(layout.edges, layout.joints)
    outward = _edge_matrix([(parent, child) for child, parent in layout.edges], layout.joints)
    return torch.from_numpy(np.stack([np.eye(layout.joints), inward, outward])).float()


def _edge_matrix(edges: list[tuple[int, int]], joints: int) -> np.ndarray:
    """M[j, i] = 1 for (i, j), every column divided by its sum."""
    matrix = np.zeros((joints, joints))
    for i, j in edges:
        matrix[j, i] = 1
    return matrix / np.maximum(matrix.sum(axis=0), 1)
