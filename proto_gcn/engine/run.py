"""One run from the environment to an exit code."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from proto_gcn import errors
from proto_gcn.atomic_file import write_atomically
from proto_gcn.config.train import TrainConfig
from proto_gcn.data.dataset import Splits, load_splits
from proto_gcn.engine import device, failpoint
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.checkpoints.resume import resume
from proto_gcn.engine.learner import Learner
from proto_gcn.engine.processes.group import Group, is_lost
from proto_gcn.engine.reporting.reporter import Reporter
from proto_gcn.engine.reporting.run_log import MetricsLog, RunLog
from proto_gcn.engine.reporting.telemetry import Telemetry
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.settings import RunSettings
from proto_gcn.engine.stopping import Stop, Stopped
from proto_gcn.engine.trainer import Trainer
from proto_gcn.errors import TrainerError

ALONE = Group()


def main(environment: Mapping[str, str] = os.environ) -> int:
    """The exit code; stdout ends with one sentence, the trace-back of what was not expected is in train.log alone."""
    log, stop, group = RunLog(), Stop(), ALONE
    stop.listen()
    try:
        group = Group.from_environment(environment)
        log.silent = not group.is_first
        group.join()
        run(environment, log, stop, group)
    except TrainerError as error:
        return _said(log, group, str(error), error.exit_code, shared=error.shared)
    except Stopped as stopped:
        return _said(log, group, str(stopped), errors.TERMINATED, shared=True)
    except OSError as error:
        log.trace()
        place = error.filename or "a file of the run"
        return _said(
            log,
            group,
            f"cannot use {place}: {error.strerror}; free space or access, then retry",
            errors.FAILED,
        )
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence instead of a trace-back
        log.trace()
        if is_lost(error):
            return errors.LOST
        return _said(log, group, _unexpected(error), errors.FAILED)
    finally:
        group.leave()
    return errors.SUCCEEDED


def run(environment: Mapping[str, str], log: RunLog, stop: Stop, group: Group = ALONE) -> None:
    """Settings, lock, config, training, result; raises TrainerError."""
    failpoint.check(environment)
    settings = RunSettings.from_environment(environment)
    folder = RunFolder(settings.run_folder())
    with ExitStack() as held:  # the lock, by the first process
        config = group.first(lambda: begin(settings, folder, log, held))
        if config is not None:
            log.open(folder.log)
            train(config, settings, folder, log, stop, group)


def begin(
    settings: RunSettings, folder: RunFolder, log: RunLog, held: ExitStack
) -> TrainConfig | None:
    """Lock and config; None where the run has finished already; raises TrainerError."""
    folder.create()
    held.enter_context(folder.locked(settings.lock_wait_s, log.line))
    if folder.result.exists():
        log.line(f"{settings.job_id} has finished already: {folder.result}")
        return None
    log.open(folder.log)
    config = settings.load_config()
    resolved = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    write_atomically(folder.config, resolved.encode())
    failpoint.reach("trainer.config.written")
    return config


def train(
    config: TrainConfig,
    settings: RunSettings,
    folder: RunFolder,
    log: RunLog,
    stop: Stop,
    group: Group,
) -> None:
    """Everything below the lock, once the config is known to be good."""
    if settings.require_gpu:
        group.first(
            device.require_gpu
        )  # one sentence for all, then each: torchrun may have put it elsewhere
        device.require_gpu()
    splits = load_splits(config, settings.path(config.data.ann_file))
    metrics = MetricsLog(folder.metrics if group.is_first else Path(os.devnull))
    telemetry = Telemetry(metrics)
    reporter = Reporter(
        config, log, metrics, telemetry, settings.progress_file if group.is_first else None
    )
    try:
        chosen = device.pick_device(telemetry.start(), settings.gpu_utilization_percent, group)
        with device.first_allocation(chosen):
            learner = Learner(config, chosen, group)
        progress = resume(learner, config, folder, settings, log)
        learner.share()
        trainer = Trainer(config, splits, learner, progress, folder, reporter, stop)
        reporter.start(
            settings.config_file.name, facts(settings, splits, learner, progress, trainer.steps)
        )
        stop.defer()
        result = trainer.run()
        if group.is_first:
            report(result, trainer, log)
            finish(result, folder, reporter, telemetry)
    finally:
        telemetry.stop()


def report(result: dict[str, Any], trainer: Trainer, log: RunLog) -> None:
    """report.html; whatever fails here is told and does not concern the training."""
    try:
        from proto_gcn.report.writer import write_final_report

        write_final_report(result, trainer)
        log.line(f"report {trainer.folder.report}")
    except Exception as error:  # noqa: BLE001 - a missing library, a full disk, a GPU out of memory: the weights are there
        log.trace()
        remedy = f"python -m proto_gcn report {trainer.folder.path} --evaluate"
        log.line(f"no report: {' '.join(str(error).split())}; make it with {remedy}")


def finish(
    result: dict[str, Any], folder: RunFolder, reporter: Reporter, telemetry: Telemetry
) -> None:
    """result.json is the last write of all."""
    reporter.end(result)
    telemetry.stop()
    failpoint.reach("trainer.result.before")
    folder.write_result(result)
    failpoint.reach("trainer.result.after")


def facts(
    settings: RunSettings, splits: Splits, learner: Learner, progress: Progress, steps: int
) -> dict[str, object]:
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


def _unexpected(error: Exception) -> str:
    if device.is_out_of_memory(error):
        return (
            "out of memory outside of training's steps: give the training more memory, then retry"
        )
    return (
        f"unexpected {type(error).__name__}: {errors.first_line(error)} (trace-back in train.log)"
    )


def _said(log: RunLog, group: Group, sentence: str, code: int, shared: bool = False) -> int:
    """What all processes know, the first says."""
    if not group.is_first and not shared:
        log.silent, sentence = False, f"process {group.rank}: {sentence}"
    try:
        log.line(" ".join(sentence.split()))
    except OSError:
        pass  # the disk of train.log is full; stdout has the sentence
    return code
