"""Checkpoints: all that a run needs to resume exactly; written as a whole or not at all."""

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
#: Published checkpoints have numpy numbers in `meta` (the best score), under the names of numpy 1
#: or 2. These names make numbers and nothing else.
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
    """The file is not a complete checkpoint."""


@dataclass
class Progress:
    """A run's progress: `epoch` epochs and `step` batches of the next one are done."""

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
        """Add a step."""
        self.step += 1
        self.samples += samples
        self.loss_sum += loss * samples

    def is_better(self, top1: float | None) -> bool:
        """Return whether the epoch under way is the best so far, and remember it if it is."""
        if top1 is None or (self.best_top1 is not None and top1 <= self.best_top1):
            return False
        self.best_top1 = top1
        self.best_epoch = self.epoch + 1
        return True

    def without_best(self) -> "Progress":
        """Return the progress as if no epoch had been the best so far."""
        return replace(self, best_top1=None, best_epoch=None)

    def next_epoch(self, report: dict[str, Any]) -> "Progress":
        """Return the start of the next epoch."""
        return Progress(
            self.epoch + 1, best_top1=self.best_top1, best_epoch=self.best_epoch, report=report
        )


def encode(
    learner: Learner,
    progress: Progress,
    config: TrainConfig,
    states: list[dict[str, Any]] | None = None,
) -> bytes:
    """Return the content of a .pth file.

    `state_dict` has the published layout; the contrastive memory is beside it. `states` are the
    random states of all processes by rank (default: of this one alone).
    """
    meta = {"epoch": progress.epoch, "config": config.model_dump(mode="json"), "seed": config.seed}
    content = {
        "meta": meta,
        "state_dict": learner.model.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.scaler.state_dict(),
        "memory": learner.model.memory,
        "progress": asdict(progress),
        "randoms": states or [randoms.state()],
    }
    # torch.save to a path reports a full disk as a C++ error without a reason.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file atomically and durably; if it fails, raise TrainerError and keep the old one."""
    try:
        write_atomically(
            path, content, written=lambda: failpoint.reach("trainer.checkpoint.written")
        )
    except OSError as error:
        reason = f"{error.strerror} ({len(content) / 1e6:.0f} MB needed)"
        raise TrainerError(
            f"cannot write {path}: {reason}; the earlier checkpoint is intact; free space and retry"
        ) from error
    failpoint.reach("trainer.checkpoint.replaced")


def read(path: Path) -> dict[str, Any]:
    """Return the content of a .pth file (ours or a published one) on the CPU; runs no code from it.

    Raises DamagedError. An OSError does not mean damage: the file cannot be read now.
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
        kind = type(error).__name__
        raise DamagedError(f"{path} is not a readable checkpoint ({kind})") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise DamagedError(f"{path} is not a checkpoint: it has no state_dict")
    return content


def restore(content: dict[str, Any], learner: Learner, config: TrainConfig) -> Progress:
    """Restore the learner's whole state; raises ConfigError if it does not fit the config."""
    then = _fitting_config(content, config)
    progress, states = Progress(**content["progress"]), _random_states(content)
    if progress.step:
        _check_place(_place(then, len(states)), _place(config, learner.group.size))
    _put_back(content, learner)
    # The momentum buffers are the checkpoint's, the settings the config's.
    learner.configure(config.optimizer)
    if len(states) == learner.group.size:  # else each process keeps the generators it starts with
        randoms.restore(states[learner.group.rank])
    return progress


def _fitting_config(content: dict[str, Any], config: TrainConfig) -> TrainConfig:
    """Return the checkpoint's config; raises ConfigError if its network is another one."""
    if not is_own(content):
        raise ConfigError(
            "the checkpoint holds weights only, so training cannot resume from it; "
            "use load_from instead"
        )
    then = config_of(content)
    if other := other_keys(then, config, "model"):
        remedy = f"restore them or start a new job: {', '.join(other)}"
        raise ConfigError(f"the checkpoint was written with other model settings; {remedy}")
    return then


def _put_back(content: dict[str, Any], learner: Learner) -> None:
    learner.model.load_state_dict(content["state_dict"])
    learner.optimizer.load_state_dict(content["optimizer"])
    if learner.scaler.is_enabled() and content.get("scaler"):
        learner.scaler.load_state_dict(content["scaler"])
    learner.model.memory = content["memory"]


def is_own(content: dict[str, Any]) -> bool:
    """Return whether it is one of ours; published ones have no place to resume from."""
    return "progress" in content


def config_of(content: dict[str, Any]) -> TrainConfig:
    """Return the config of one of ours, with defaults for later keys; raises ConfigError."""
    meta = content.get("meta")
    own = meta.get("config") if isinstance(meta, dict) else None
    if not isinstance(own, dict):
        raise ConfigError("the checkpoint does not contain the config of its network")
    try:
        return TrainConfig.model_validate(own)
    except ValidationError as error:
        raise ConfigError(f"the config in the checkpoint: {describe(error, own)}") from error


def other_keys(then: TrainConfig, now: TrainConfig, *sections: str) -> list[str]:
    """Return the dotted keys that differ in these sections."""
    before, here = then.model_dump(), now.model_dump()
    return [
        key for section in sections for key in _other_keys(section, before[section], here[section])
    ]


def _other_keys(key: str, then: Any, now: Any) -> list[str]:
    if not isinstance(then, dict) or not isinstance(now, dict):
        return [] if then == now else [key]
    return [found for name in now for found in _other_keys(f"{key}.{name}", then[name], now[name])]


def _random_states(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the random states by rank; a checkpoint of an earlier version has one alone."""
    if "randoms" not in content:
        return [content["random"]]
    states: list[dict[str, Any]] = content["randoms"]
    return states


def _check_place(then: dict[str, object], here: dict[str, object]) -> None:
    """Raise ConfigError unless both places within an epoch mean the same batches.

    A place is a number of batches; with other samples, order or batches it means something else.
    """
    for what, value in then.items():
        if here[what] != value:
            raise ConfigError(
                f"the checkpoint is from the middle of an epoch with {what} {value} "
                f"(here {here[what]}): resume with the same, or start a new job with load_from"
            )


def _place(config: TrainConfig, processes: int) -> dict[str, object]:
    """Return all that decides what the batches of an epoch are."""
    data = config.data.model_dump(exclude=_NO_PLACE)
    return {f"data.{key}": value for key, value in data.items()} | {
        "modality": config.modality,
        "seed": config.seed,
        "data.videos_per_gpu times processes": config.data.videos_per_gpu * processes,
    }


def load_weights(content: dict[str, Any], model: ProtoGCN) -> list[str]:
    """Load weights alone, by name; raises ConfigError if they do not fit.

    Returns a sentence for each kind of weights that keep their start values.
    """
    try:
        state, remarks = fitting(content["state_dict"], model, to_train=True)
    except ConfigError as error:
        raise ConfigError(f"load_from: {error}") from error
    model.load_state_dict(state, strict=False)
    return [f"load_from: {sentence}; training starts without them" for sentence in remarks]
