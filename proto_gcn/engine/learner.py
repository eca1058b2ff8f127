"""What learns: the network and its optimiser, on one device."""

import math
import random

import numpy as np
import torch
from torch import Tensor

from proto_gcn.config import TrainConfig
from proto_gcn.model.head import ProtoGCN


class Learner:
    """Fresh from the config's seed; checkpoint.restore puts an earlier state in."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.device = device
        seed_everything(config.seed)
        self.model = ProtoGCN(config.model).to(device)
        self.model.memory = self.model.memory  # moved by hand, because it is no buffer
        self.optimizer = torch.optim.SGD(self.model.parameters(), **config.optimizer.model_dump(exclude={"type"}))

    def step(self, clips: Tensor, labels: Tensor, lr: float) -> float:
        """One SGD step on clips [N, 1, M, T, V, C]; returns the loss and changes nothing where it is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = self.model(*self._moved(clips.squeeze(1), labels)).loss
        value = float(loss.item())
        if math.isfinite(value):
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return value

    def is_finite(self) -> bool:
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def _moved(self, *tensors: Tensor) -> list[Tensor]:
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]


def cosine(lr: float, min_lr: float, done: int, total: int) -> float:
    """The learning rate after `done` of `total` steps: min + (lr - min) (1 + cos(pi done / total)) / 2."""
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * done / total)) / 2


def seed_everything(seed: int) -> None:
    """Python, numpy (the start adjacency) and torch (weights, dropout)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
