"""One run from the environment to an exit code."""

import os
from collections.abc import Mapping
from typing import Any

import yaml

from proto_gcn import errors
from proto_gcn.atomic_file import write_atomically
from proto_gcn.config import TrainConfig
from proto_gcn.data.dataset import Splits, load_splits
from proto_gcn.engine import device, failpoint
from proto_gcn.engine.checkpoint import Progress
from proto_gcn.engine.learner import Learner
from proto_gcn.engine.reporter import Reporter
from proto_gcn.engine.resume import resume
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.run_log import MetricsLog, RunLog
from proto_gcn.engine.settings import RunSettings
from proto_gcn.engine.stopping import Stop
from proto_gcn.engine.telemetry import Telemetry
from proto_gcn.engine.trainer import Trainer
from proto_gcn.errors import TrainerError


def main(environment: Mapping[str, str] = os.environ) -> int:
    """The exit code; stdout ends with one sentence, the trace-back of what was not expected is in train.log alone."""
    log, stop = RunLog(), Stop()
    stop.listen()
    try:
        run(environment, log, stop)
    except TrainerError as error:
        return _said(log, str(error), error.exit_code)
    except OSError as error:
        log.trace()
        place = error.filename or "a file of the run"
        return _said(log, f"cannot use {place}: {error.strerror}; free space or access, then retry", errors.FAILED)
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence instead of a trace-back
        log.trace()
        return _said(log, f"unexpected {type(error).__name__}: {error} (trace-back in train.log)", errors.FAILED)
    return errors.SUCCEEDED


def run(environment: Mapping[str, str], log: RunLog, stop: Stop) -> None:
    """Settings, lock, config, training, result; raises TrainerError."""
    failpoint.check(environment)
    settings = RunSettings.from_environment(environment)
    folder = RunFolder(settings.run_folder())
    folder.create()
    with folder.locked(settings.lock_wait_s, log.line):
        if folder.result.exists():
            return log.line(f"{settings.job_id} has finished already: {folder.result}")
        log.open(folder.log)
        config = settings.load_config()
        resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        write_atomically(folder.config, resolved.encode())
        failpoint.reach("trainer.config.written")
        train(config, settings, folder, log, stop)
    return None


def train(config: TrainConfig, settings: RunSettings, folder: RunFolder, log: RunLog, stop: Stop) -> None:
    """Everything below the lock, once the config is known to be good."""
    if settings.require_gpu:
        device.require_gpu()
    splits = load_splits(config, settings.path(config.data.ann_file))
    metrics = MetricsLog(folder.metrics)
    telemetry = Telemetry(metrics)
    reporter = Reporter(config, log, metrics, telemetry, settings.progress_file)
    try:
        chosen = device.pick_device(telemetry.start(), settings.gpu_utilization_percent)
        with device.first_allocation():
            learner = Learner(config, chosen)
        progress = resume(learner, config, folder, settings, log)
        trainer = Trainer(config, splits, learner, progress, folder, reporter, stop)
        reporter.start(settings.config_file.name, facts(settings, splits, learner, progress, trainer.steps))
        with stop.deferred():
            finish(trainer.run(), folder, reporter, telemetry)
    finally:
        telemetry.stop()


def finish(result: dict[str, Any], folder: RunFolder, reporter: Reporter, telemetry: Telemetry) -> None:
    """result.json is the last write of all."""
    reporter.end(result)
    telemetry.stop()
    failpoint.reach("trainer.result.before")
    folder.write_result(result)
    failpoint.reach("trainer.result.after")


def facts(settings: RunSettings, splits: Splits, learner: Learner, progress: Progress, steps: int) -> dict[str, object]:
    """What the first line of a process says beside its config."""
    return {
        "job_id": settings.job_id,
        "train_samples": len(splits.train),
        "val_samples": len(splits.val),
        "parameters": sum(p.numel() for p in learner.model.parameters()),
        "steps": steps,
        "device": device.describe(learner.device),
        "epochs_done": progress.epoch,
        "steps_done": progress.step,
    }


def _said(log: RunLog, sentence: str, code: int) -> int:
    try:
        log.line(" ".join(sentence.split()))
    except OSError:
        pass  # the disk of train.log is full; stdout has the sentence
    return code
