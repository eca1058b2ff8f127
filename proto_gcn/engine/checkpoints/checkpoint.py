"""Checkpoints: everything that a run needs to go on exactly where it was; written whole or not at all."""

import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from proto_gcn.atomic_file import write_atomically
from proto_gcn.config.file import describe
from proto_gcn.config.train import TrainConfig
from proto_gcn.engine import failpoint
from proto_gcn.engine.checkpoints import randoms
from proto_gcn.engine.device import is_out_of_memory
from proto_gcn.engine.learner import Learner
from proto_gcn.errors import ConfigError, TrainerError
from proto_gcn.model.head import ProtoGCN
from proto_gcn.model.weights import fitting

_scalar: Any = np.float64(0).__reduce__()[0]
#: Published ones have such in `meta` (the best score), by the names of numpy 1 or 2; they make numbers, nothing else.
NUMPY_NUMBERS: list[Any] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("float64", "float32", "int64", "int32", "bool")),
]
_NO_PLACE = {
    "videos_per_gpu",
    "workers_per_gpu",
    "val_split",
    "val_clips",
    "test_clips",
    "test_seed",
}


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
        self.step, self.samples, self.loss_sum = (
            self.step + 1,
            self.samples + samples,
            self.loss_sum + loss * samples,
        )

    def is_better(self, top1: float | None) -> bool:
        """Whether the epoch under way is the best so far; remembers it then."""
        if top1 is None or (self.best_top1 is not None and top1 <= self.best_top1):
            return False
        self.best_top1, self.best_epoch = top1, self.epoch + 1
        return True

    def without_best(self) -> "Progress":
        """As if no epoch had been the best so far."""
        return replace(self, best_top1=None, best_epoch=None)

    def next_epoch(self, report: dict[str, Any]) -> "Progress":
        """The start of the next epoch."""
        return Progress(
            self.epoch + 1, best_top1=self.best_top1, best_epoch=self.best_epoch, report=report
        )


def encode(
    learner: Learner,
    progress: Progress,
    config: TrainConfig,
    states: list[dict[str, Any]] | None = None,
) -> bytes:
    """The content of a .pth file; `state_dict` has the published layout, the contrastive memory stands beside it.

    `states` are the random states of all processes by rank, this one's alone by default.
    """
    content = {
        "meta": {
            "epoch": progress.epoch,
            "config": config.model_dump(mode="json"),
            "seed": config.seed,
        },
        "state_dict": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "memory": learner.model.memory,
        "progress": asdict(progress),
        "randoms": states or [randoms.state()],
    }
    buffer = (
        io.BytesIO()
    )  # torch.save to a path reports a full disk as a C++ error without a reason
    torch.save(content, buffer)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Atomic and durable; raises TrainerError where it cannot be written, with the earlier file intact."""
    try:
        write_atomically(
            path, content, written=lambda: failpoint.reach("trainer.checkpoint.written")
        )
    except OSError as error:
        reason = f"{error.strerror} ({len(content) / 1e6:.0f} MB needed)"
        raise TrainerError(
            f"cannot write {path}: {reason}; the earlier checkpoint is intact; free space, retry"
        ) from error
    failpoint.reach("trainer.checkpoint.replaced")


def read(path: Path) -> dict[str, Any]:
    """The content of a .pth file (ours or a published one) on the CPU; runs no code from it.

    Raises DamagedError, and OSError where it cannot be read, which says nothing about the file.
    """
    try:
        stored = io.BytesIO(path.read_bytes())
        with torch.serialization.safe_globals(NUMPY_NUMBERS):
            content = torch.load(stored, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise DamagedError(f"{path} is no readable checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise DamagedError(f"{path} is no checkpoint: it has no state_dict")
    return content


def restore(content: dict[str, Any], learner: Learner, config: TrainConfig) -> Progress:
    """Puts model, optimiser, scaler, contrastive memory and random generators back; raises ConfigError for a misfit."""
    if not is_own(content):
        raise ConfigError(
            "the checkpoint holds weights only, so training cannot go on from it; use load_from for it"
        )
    then = config_of(content)
    if other := other_keys(then, config, "model"):
        remedy = f"restore them or start a new job: {', '.join(other)}"
        raise ConfigError(f"the checkpoint was written with other model settings; {remedy}")
    progress, states = Progress(**content["progress"]), _random_states(content)
    if progress.step:
        _check_place(_place(then, len(states)), _place(config, learner.group.size))
    learner.model.load_state_dict(content["state_dict"])
    learner.optimizer.load_state_dict(content["optimizer"])
    learner.configure(
        config.optimizer
    )  # the momentum buffers are the checkpoint's, the settings the config's
    if learner.scaler.is_enabled() and content.get("scaler"):
        learner.scaler.load_state_dict(content["scaler"])
    learner.model.memory = content["memory"]
    if len(states) == learner.group.size:  # else each process goes on with its own start
        randoms.restore(states[learner.group.rank])
    return progress


def is_own(content: dict[str, Any]) -> bool:
    """Whether it is one of ours: published ones hold weights and no place to go on from."""
    return "progress" in content


def config_of(content: dict[str, Any]) -> TrainConfig:
    """What one of ours was trained with, keys that came later at their defaults; raises ConfigError."""
    meta = content.get("meta")
    own = meta.get("config") if isinstance(meta, dict) else None
    if not isinstance(own, dict):
        raise ConfigError("the checkpoint does not say how its network is built")
    try:
        return TrainConfig.model_validate(own)
    except ValidationError as error:
        raise ConfigError(f"the config in the checkpoint: {describe(error, own)}") from error


def other_keys(then: TrainConfig, now: TrainConfig, *sections: str) -> list[str]:
    """The dotted keys in these sections of what differs."""
    before, here = then.model_dump(), now.model_dump()
    return [
        key for section in sections for key in _other_keys(section, before[section], here[section])
    ]


def _other_keys(key: str, then: Any, now: Any) -> list[str]:
    if not isinstance(then, dict) or not isinstance(now, dict):
        return [] if then == now else [key]
    return [found for name in now for found in _other_keys(f"{key}.{name}", then[name], now[name])]


def _random_states(content: dict[str, Any]) -> list[dict[str, Any]]:
    """By rank; a checkpoint of an earlier version has one alone."""
    states: list[dict[str, Any]] = (
        content["randoms"] if "randoms" in content else [content["random"]]
    )
    return states


def _check_place(then: dict[str, object], here: dict[str, object]) -> None:
    """A place within an epoch is a number of batches: it means something else with other samples, order or batches."""
    for what, value in then.items():
        if here[what] != value:
            raise ConfigError(
                f"the checkpoint is from the middle of an epoch with {what} {value} (here {here[what]}): "
                "go on with the same, or start a new job with load_from"
            )


def _place(config: TrainConfig, processes: int) -> dict[str, object]:
    """All that decides what the batches of an epoch are."""
    data = config.data.model_dump(exclude=_NO_PLACE)
    batch = config.data.videos_per_gpu * processes
    own = {
        "modality": config.modality,
        "seed": config.seed,
        "data.videos_per_gpu times processes": batch,
    }
    return {f"data.{key}": value for key, value in data.items()} | own


def load_weights(content: dict[str, Any], model: ProtoGCN) -> list[str]:
    """Weights alone, by name; a sentence for each kind of what stays at its start values; raises ConfigError."""
    try:
        state, odd = fitting(content["state_dict"], model, to_train=True)
    except ConfigError as error:
        raise ConfigError(f"load_from: {error}") from error
    model.load_state_dict(state, strict=False)
    return [f"load_from: {sentence}; training starts without them" for sentence in odd]
