"""Checkpoints: everything that a run needs to go on exactly where it was; written whole or not at all."""

import io
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from proto_gcn.atomic_file import write_atomically
from proto_gcn.config import TrainConfig
from proto_gcn.engine import failpoint
from proto_gcn.errors import ConfigError, TrainerError
from proto_gcn.model.head import ProtoGCN


class DamagedError(TrainerError):
    """The file is no complete checkpoint."""


@dataclass
class Progress:
    """Where a run stands: `epoch` epochs and `step` batches of the next one are done."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0  # over the samples of the unfinished epoch
    samples: int = 0
    epoch_s: float = 0.0  # spent on the unfinished epoch
    best_top1: float | None = None
    best_epoch: int | None = None
    elapsed_s: float = 0.0
    report: dict[str, Any] | None = None  # the last finished epoch's line

    def count(self, loss: float, samples: int) -> None:
        """One step more."""
        self.step, self.samples, self.loss_sum = self.step + 1, self.samples + samples, self.loss_sum + loss * samples

    def is_better(self, top1: float | None) -> bool:
        """Whether the epoch under way is the best so far; remembers it then."""
        if top1 is None or (self.best_top1 is not None and top1 <= self.best_top1):
            return False
        self.best_top1, self.best_epoch = top1, self.epoch + 1
        return True

    def next_epoch(self, report: dict[str, Any]) -> "Progress":
        """The start of the next epoch."""
        return Progress(self.epoch + 1, best_top1=self.best_top1, best_epoch=self.best_epoch, report=report)


def encode(model: ProtoGCN, optimizer: Optimizer, progress: Progress, config: TrainConfig) -> bytes:
    """The content of a .pth file; `state_dict` has the published layout, the contrastive memory stands beside it."""
    content = {
        "meta": {"epoch": progress.epoch, "config": config.model_dump(mode="json"), "seed": config.seed},
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "memory": model.memory,
        "progress": asdict(progress),
        "random": _random_state(),
    }
    buffer = io.BytesIO()  # torch.save to a path reports a full disk as a C++ error without a reason
    torch.save(content, buffer)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Atomic and durable; raises TrainerError where it cannot be written, with the earlier file intact."""
    try:
        write_atomically(path, content, written=lambda: failpoint.reach("trainer.checkpoint.written"))
    except OSError as error:
        reason = f"{error.strerror} ({len(content) / 1e6:.0f} MB needed)"
        raise TrainerError(
            f"cannot write {path}: {reason}; the earlier checkpoint is intact; free space, retry"
        ) from error
    failpoint.reach("trainer.checkpoint.replaced")


def read(path: Path) -> dict[str, Any]:
    """The content of a .pth file (ours or a published one) on the CPU; runs no code from it; raises DamagedError."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DamagedError(f"{path} is no readable checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise DamagedError(f"{path} is no checkpoint: it has no state_dict")
    return content


def restore(content: dict[str, Any], model: ProtoGCN, optimizer: Optimizer, config: TrainConfig) -> Progress:
    """Puts model, optimiser, contrastive memory and random generators back; raises ConfigError for another network."""
    if "progress" not in content:
        raise ConfigError("the checkpoint holds weights only, so training cannot go on from it; use load_from for it")
    if content["meta"]["config"]["model"] != config.model.model_dump(mode="json"):
        raise ConfigError("the checkpoint was written with other model settings; restore them or start a new job")
    model.load_state_dict(content["state_dict"])
    optimizer.load_state_dict(content["optimizer"])
    model.memory = content["memory"]
    _set_random_state(content["random"])
    return Progress(**content["progress"])


def load_weights(content: dict[str, Any], model: ProtoGCN) -> list[str]:
    """Weights alone, by name; returns a sentence for missing and one for unexpected keys."""
    state = {key.removeprefix("module."): value for key, value in content["state_dict"].items()}
    wanted = model.state_dict()
    misfits = [key for key, value in state.items() if key in wanted and value.shape != wanted[key].shape]
    if misfits:
        raise ConfigError(f"load_from: {len(misfits)} weights have another shape, the first is {misfits[0]}")
    missing, unexpected = model.load_state_dict(state, strict=False)
    lists = (("missing, left at their start values", missing), ("unknown, ignored", unexpected))
    return [f"load_from: {len(keys)} keys {what}: {', '.join(keys)}" for what, keys in lists if keys]


def _random_state() -> dict[str, Any]:
    """In types that torch.load(weights_only=True) accepts."""
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numpy_state = (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest)
    return {"python": random.getstate(), "numpy": numpy_state, "torch": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():  # another machine has other generators
        torch.cuda.set_rng_state_all(state["cuda"])
