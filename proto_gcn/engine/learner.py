"""The network and its optimiser, on one device of a group of processes."""

import math
import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from proto_gcn.config.train import OptimizerConfig, TrainConfig
from proto_gcn.engine.network import build, prepare
from proto_gcn.engine.processes.group import Group

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
LEAST_SCALE = 2.0**-10  # gradients that overflow float16 even so are infinite


class Learner:
    """A network and optimiser, fresh from the config's seed.

    checkpoint.restore puts an earlier state in, before `share` is called.
    """

    def __init__(
        self, config: TrainConfig, device: torch.device, group: Group | None = None
    ) -> None:
        self.config = config
        self.device = device
        self.engine = config.engine
        self.group = group or Group()
        seed_everything(config.seed)
        self.model = build(config.model, config.engine).to(device)
        self.model.memory = self.model.memory  # moves it too: it is not a buffer
        self.optimizer = torch.optim.SGD(self.model.parameters(), **_settings(config.optimizer))
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.engine.precision == "fp16")
        self._called: torch.nn.Module = self.model
        prepare(self.model, self.engine, self.group.size)
        if self.group.rank:  # the same weights, but other dropout
            torch.manual_seed(config.seed + self.group.rank)

    def configure(self, optimizer: OptimizerConfig) -> None:
        """Set momentum, weight decay and so on, but keep the last step's rate for the log."""
        for group in self.optimizer.param_groups:
            group.update(_settings(optimizer) | {"lr": group["lr"]})

    def share(self) -> None:
        """Make all later gradients the mean over all processes."""
        if self.group.size > 1:
            devices = [self.device] if self.device.type == "cuda" else None
            self._called = DistributedDataParallel(
                self.model, device_ids=devices, forward_sync_buffers=False
            )

    def step(self, clips: Tensor, labels: Tensor, lr: float) -> float:
        """Take one SGD step on clips [N, 1, M, T, V, C] and return the loss.

        If the loss is not finite, no weight changes.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        loss = self._gradients(*self._moved(clips.squeeze(1), labels))
        if math.isfinite(loss):
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return loss if self._scale() >= LEAST_SCALE else math.nan

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def _gradients(self, clips: Tensor, labels: Tensor) -> float:
        """Add up the gradients of all parts, weighted by their samples.

        Returns the loss over all processes.
        """
        parts = min(self.engine.accumulate, len(labels))
        total = 0.0
        pairs = list(zip(clips.tensor_split(parts), labels.tensor_split(parts), strict=True))
        for number, (some, their) in enumerate(pairs, start=1):
            share = len(their) / len(labels)
            with self._without_exchange(number < parts):
                with self._autocast():
                    loss = self._called(some, their).loss * share
                total += self.group.mean(float(loss.detach()))
                if not math.isfinite(total):
                    return total
                self.scaler.scale(loss).backward()
        return total

    def _scale(self) -> float:
        return float(self.scaler.get_scale()) if self.scaler.is_enabled() else 1.0

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = AUTOCAST.get(self.engine.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype)

    def _without_exchange(self, wanted: bool) -> AbstractContextManager[object]:
        """Before the last part, processes exchange no gradients."""
        if wanted and isinstance(self._called, DistributedDataParallel):
            return self._called.no_sync()
        return nullcontext()

    def _moved(self, *tensors: Tensor) -> list[Tensor]:
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]


def _settings(optimizer: OptimizerConfig) -> dict[str, Any]:
    return optimizer.model_dump(exclude={"type"})


def cosine(lr: float, min_lr: float, done: int, total: int) -> float:
    """Return the rate after `done` steps: min + (lr - min) (1 + cos(pi done / total)) / 2."""
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * done / total)) / 2


def seed_everything(seed: int) -> None:
    """Seed Python, numpy (for the start adjacency) and torch (for weights and dropout)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
