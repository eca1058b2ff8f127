"""The network of a checkpoint, ours or a published one, with its config, ready to score."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from proto_gcn.config.file import load_config
from proto_gcn.config.train import TrainConfig
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import DamagedError
from proto_gcn.engine.network import build, prepare
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.errors import ConfigError
from proto_gcn.model.head import ProtoGCN
from proto_gcn.model.weights import fitting


@dataclass(frozen=True)
class Trained:
    """A network in eval mode, the config it was trained with, and the file of its weights.

    A remark is a sentence about weights that do not fit but are not needed for scores.
    """

    model: ProtoGCN
    config: TrainConfig
    checkpoint: Path
    remarks: tuple[str, ...] = ()


def of_run(folder: Path, device: torch.device) -> Trained:
    """Load the best checkpoint of a run, else its latest; raises ConfigError."""
    run = RunFolder(folder)
    if not run.config.is_file():
        raise ConfigError(
            f"{folder} is not a run folder: it has no config.yaml; name WORK_DIR/runs/JOB_ID"
        )
    found = next((path for path in (run.best, run.latest) if path.is_file()), None)
    if found is None:
        raise ConfigError(f"{folder} has no checkpoint yet; wait for the first epoch")
    content = _content(found)
    return loaded(_fitting_config(run.config, found, content), found, content, device)


def of_checkpoint(path: Path, config: Path | None, device: torch.device) -> Trained:
    """Load any checkpoint; without a config its own is used, which published ones do not have.

    Raises ConfigError.
    """
    content = _content(path)
    if config and not config.is_file():
        raise ConfigError(
            f"--config names {config}, which does not exist; "
            "name one of the configs of its training"
        )
    if config is None:
        return loaded(_own_config(path, content), path, content, device)
    return loaded(_fitting_config(config, path, content), path, content, device)


def loaded(
    config: TrainConfig, path: Path, content: dict[str, Any], device: torch.device
) -> Trained:
    """Return a network that computes as its training's validation did.

    Raises ConfigError if weights that scores depend on do not fit.
    """
    model = build(config.model, config.engine)
    try:
        state, remarks = fitting(content["state_dict"], model)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    model.load_state_dict(state, strict=False)
    # Compiling takes minutes, more than a pass over a split, and changes nothing but rounding.
    prepare(model.to(device), config.engine.model_copy(update={"compile": False}), processes=1)
    sentences = (f"{path}: {remark}; scores are computed without them" for remark in remarks)
    return Trained(model.eval(), config, path, tuple(sentences))


def _content(path: Path) -> dict[str, Any]:
    try:
        return checkpoint.read(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read the checkpoint {path}: {error.strerror}; name another file"
        ) from error
    except DamagedError as error:
        raise ConfigError(f"{error}; name a checkpoint of ours or of the published code") from error


def _fitting_config(file: Path, path: Path, content: dict[str, Any]) -> TrainConfig:
    """Return the file's config; raises ConfigError if the weights were trained with another."""
    # It may belong to a later start that was refused, and weights can fit other configs too.
    config = load_config(file)
    if not checkpoint.is_own(content):
        return config
    if other := checkpoint.other_keys(_own_config(path, content), config, "model", "modality"):
        remedy = "use --checkpoint alone, which has its own config"
        raise ConfigError(
            f"{path} was trained with other settings than {file} has: {', '.join(other)}; {remedy}"
        )
    return config


def _own_config(path: Path, content: dict[str, Any]) -> TrainConfig:
    try:
        return checkpoint.config_of(content)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: {error}; add --config FILE, as published checkpoints need"
        ) from error
