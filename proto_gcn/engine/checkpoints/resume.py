"""Where a run starts: from its own checkpoints, from those that the config names, or from nothing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from proto_gcn.config.train import TrainConfig
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import DamagedError, Progress
from proto_gcn.engine.learner import Learner
from proto_gcn.engine.processes.group import Group
from proto_gcn.engine.reporting.run_log import RunLog
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.settings import RunSettings
from proto_gcn.errors import ConfigError


def resume(
    learner: Learner, config: TrainConfig, folder: RunFolder, settings: RunSettings, log: RunLog
) -> Progress:
    """The progress of latest.pth, else of best.pth, else of resume_from; else none, with the weights of load_from."""
    for path in (folder.latest, folder.best):
        if (content := _intact(path, learner.group, log)) is not None:
            progress = _restored(path, content, learner, config, log)
            progress = progress if folder.best.exists() else progress.without_best()
            if progress.epoch >= config.total_epochs and progress.best_top1 is None:
                raise ConfigError(
                    f"{path}: all {config.total_epochs} epochs are done, and there is no best.pth to report; raise "
                    "total_epochs or start a new job"
                )
            return progress
    if config.resume_from:
        path = _named(config.resume_from, "resume_from", settings)
        return _of_another_run(
            _restored(path, _content(path, "resume_from"), learner, config, log), config
        )
    if config.load_from:
        content = _content(_named(config.load_from, "load_from", settings), "load_from")
        for sentence in checkpoint.load_weights(content, learner.model):
            log.line(sentence)
    return Progress()


def _intact(path: Path, group: Group, log: RunLog) -> dict[str, Any] | None:
    """A checkpoint of the run's own; a damaged one is moved aside, where it is no longer in the way."""
    if not path.exists():
        return None
    try:
        return checkpoint.read(path)
    except DamagedError as error:
        aside = path.with_name(f"{path.name}.damaged")
        log.line(f"{error}; going on without it (kept as {aside.name})")
        if group.is_first:
            path.replace(aside)
        return None


def _restored(
    path: Path, content: dict[str, Any], learner: Learner, config: TrainConfig, log: RunLog
) -> Progress:
    try:
        progress = checkpoint.restore(content, learner, config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    log.line(f"resuming from {path} after {progress.epoch} epochs and {progress.step} steps")
    return progress


def _of_another_run(progress: Progress, config: TrainConfig) -> Progress:
    """Its best checkpoint and its report are in the other run's folder; raises ConfigError where nothing is left."""
    if progress.epoch >= config.total_epochs:
        raise ConfigError(
            f"resume_from has done {progress.epoch} epochs of {config.total_epochs} already; raise total_epochs, "
            "or use load_from to start from its weights"
        )
    return replace(progress.without_best(), report=None, elapsed_s=0.0)


def _content(path: Path, key: str) -> dict[str, Any]:
    try:
        return checkpoint.read(path)
    except DamagedError as error:
        raise ConfigError(f"{key}: {error}; name another file") from error


def _named(written: str, key: str, settings: RunSettings) -> Path:
    path = settings.path(written)
    if not path.is_file():
        raise ConfigError(f"{settings.config_file}: {key} names {path}, and there is no such file")
    return path
