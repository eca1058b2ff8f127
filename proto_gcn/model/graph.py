"""The matrices that the learnt adjacency of every block starts from."""

import numpy as np
import torch
from torch import Tensor

from proto_gcn.config.train import GraphConfig


def initial_adjacency(config: GraphConfig) -> Tensor:
    """Return A [K, V, V] in float32, indexed [from v, to w].

    Mode "random" draws K = num_filter matrices from numpy's global generator, as the published code
    does. Mode "spatial" returns three: self, towards the centre, away from the centre.
    """
    skeleton = config.skeleton
    joints, edges = skeleton.joints, skeleton.edges
    if config.mode == "random":
        draws = np.random.randn(config.num_filter, joints, joints)
        return torch.from_numpy(draws * config.init_std + config.init_off).float()
    inward = _edge_matrix(edges, joints)
    outward = _edge_matrix([(parent, child) for child, parent in edges], joints)
    return torch.from_numpy(np.stack([np.eye(joints), inward, outward])).float()


def _edge_matrix(edges: list[tuple[int, int]], joints: int) -> np.ndarray:
    """Return M with M[j, i] = 1 for every edge (i, j), each column divided by its sum."""
    matrix = np.zeros((joints, joints))
    for i, j in edges:
        matrix[j, i] = 1
    return matrix / np.maximum(matrix.sum(axis=0), 1)
