"""Choose where a run starts: its own checkpoints, those that the config names, or fresh weights."""

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
    """Return the progress that the run starts with.

    It is that of latest.pth, else of best.pth, else of resume_from. Without these it is empty, with
    the weights of load_from if the config names them.
    """
    for path in (folder.latest, folder.best):
        if (content := _intact(path, learner.group, log)) is not None:
            progress = _restored(path, content, learner, log)
            return _with_best(progress, path, folder, config)
    if config.resume_from:
        path = _named(config.resume_from, "resume_from", settings)
        progress = _restored(path, _content(path, "resume_from"), learner, log)
        return _of_another_run(progress, config)
    if config.load_from:
        _load_weights(_named(config.load_from, "load_from", settings), learner, log)
    return Progress()


def _load_weights(path: Path, learner: Learner, log: RunLog) -> None:
    for sentence in checkpoint.load_weights(_content(path, "load_from"), learner.model):
        log.line(sentence)


def _intact(path: Path, group: Group, log: RunLog) -> dict[str, Any] | None:
    """Return the content of the run's own checkpoint, or None; renames a damaged one."""
    if not path.exists():
        return None
    try:
        return checkpoint.read(path)
    except DamagedError as error:
        aside = path.with_name(f"{path.name}.damaged")
        log.line(f"{error}; continuing without it (kept as {aside.name})")
        if group.is_first:
            path.replace(aside)
        return None


def _with_best(progress: Progress, path: Path, folder: RunFolder, config: TrainConfig) -> Progress:
    """Forget a best epoch whose checkpoint is gone; raises ConfigError if no epoch can follow."""
    progress = progress if folder.best.exists() else progress.without_best()
    if progress.epoch >= config.total_epochs and progress.best_top1 is None:
        raise ConfigError(
            f"{path}: all {config.total_epochs} epochs are done, but there is no best.pth to "
            "report; raise total_epochs or start a new job"
        )
    return progress


def _restored(path: Path, content: dict[str, Any], learner: Learner, log: RunLog) -> Progress:
    try:
        progress = checkpoint.restore(content, learner, learner.config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    log.line(f"resuming from {path} after {progress.epoch} epochs and {progress.step} steps")
    return progress


def _of_another_run(progress: Progress, config: TrainConfig) -> Progress:
    """Forget its best checkpoint and report, which are in the other run's folder.

    Raises ConfigError if no epoch is left.
    """
    if progress.epoch >= config.total_epochs:
        raise ConfigError(
            f"resume_from has already done {progress.epoch} epochs of {config.total_epochs}; "
            "raise total_epochs, or use load_from to start from its weights"
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
        raise ConfigError(f"{settings.config_file}: {key} names {path}, which does not exist")
    return path
