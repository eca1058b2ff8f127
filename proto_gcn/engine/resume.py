"""Where a run starts: from its own checkpoints, from those that the config names, or from nothing."""

from pathlib import Path

from proto_gcn.config import TrainConfig
from proto_gcn.engine import checkpoint
from proto_gcn.engine.checkpoint import DamagedError, Progress
from proto_gcn.engine.learner import Learner
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.run_log import RunLog
from proto_gcn.engine.settings import RunSettings
from proto_gcn.errors import ConfigError


def resume(learner: Learner, config: TrainConfig, folder: RunFolder, settings: RunSettings, log: RunLog) -> Progress:
    """The progress of latest.pth, else of best.pth, else of resume_from; else none, with the weights of load_from."""
    for path in (folder.latest, folder.best):
        try:
            if path.exists():
                return _restored(path, learner, config, log)
        except DamagedError as error:
            log.line(f"{error}; going on without it")
    if config.resume_from:
        return _restored(_named(config.resume_from, "resume_from", settings), learner, config, log)
    if config.load_from:
        content = checkpoint.read(_named(config.load_from, "load_from", settings))
        for sentence in checkpoint.load_weights(content, learner.model):
            log.line(sentence)
    return Progress()


def _restored(path: Path, learner: Learner, config: TrainConfig, log: RunLog) -> Progress:
    content = checkpoint.read(path)
    try:
        progress = checkpoint.restore(content, learner.model, learner.optimizer, config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    log.line(f"resuming from {path} after {progress.epoch} epochs and {progress.step} steps")
    return progress


def _named(written: str, key: str, settings: RunSettings) -> Path:
    path = settings.path(written)
    if not path.is_file():
        raise ConfigError(f"{settings.config_file}: {key} names {path}, and there is no such file")
    return path
