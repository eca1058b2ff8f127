"""One training run, from the environment to an exit code."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from proto_gcn import errors
from proto_gcn.atomic_file import write_atomically
from proto_gcn.config.train import TrainConfig
from proto_gcn.data.dataset import Splits, load_splits
from proto_gcn.engine import device, failpoint
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

WriteReport = Callable[[dict[str, Any], Trainer], None]


@dataclass
class Process:
    """This process: where it writes, what stops it, which processes it trains with.

    When a training has succeeded, the first process calls `write_report`, if it is not None.
    """

    log: RunLog = field(default_factory=RunLog)
    stop: Stop = field(default_factory=Stop)
    group: Group = field(default_factory=Group)
    write_report: WriteReport | None = None


def main(
    environment: Mapping[str, str] = os.environ, write_report: WriteReport | None = None
) -> int:
    """Run a training and return its exit code.

    stdout ends with one sentence. The trace-back of an unexpected error is in train.log alone.
    """
    process = Process(write_report=write_report)
    process.stop.listen()
    try:
        process.group = Group.from_environment(environment)
        process.log.silent = not process.group.is_first
        process.group.join()
        run(environment, process)
    except Stopped as stopped:
        return _ended(process, str(stopped), errors.TERMINATED, shared=True)
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence, not a trace-back
        return _failed(process, error)
    finally:
        process.group.leave()
    return errors.SUCCEEDED


def run(environment: Mapping[str, str], process: Process) -> None:
    """Read the settings, take the lock, train, write the result; raises TrainerError."""
    failpoint.check(environment)
    settings = RunSettings.from_environment(environment)
    folder = RunFolder(settings.run_folder())
    with ExitStack() as held:  # the lock, which the first process takes
        config = process.group.first(lambda: begin(settings, folder, process.log, held))
        if config is not None:
            process.log.open(folder.log)
            train(config, settings, folder, process)


def begin(
    settings: RunSettings, folder: RunFolder, log: RunLog, held: ExitStack
) -> TrainConfig | None:
    """Take the lock and read the config; None if the run has finished; raises TrainerError."""
    folder.create()
    held.enter_context(folder.locked(settings.lock_wait_s, log.line))
    if folder.result.exists():
        log.line(f"{settings.job_id} has already finished: {folder.result}")
        return None
    log.open(folder.log)
    config = settings.load_config()
    write_atomically(folder.config, _as_yaml(config))
    failpoint.reach("trainer.config.written")
    return config


def _as_yaml(config: TrainConfig) -> bytes:
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode()


def train(config: TrainConfig, settings: RunSettings, folder: RunFolder, process: Process) -> None:
    """Train, with the lock held and a config that is valid."""
    is_first = process.group.is_first
    if settings.require_gpu:
        _require_gpus(process.group)
    splits = load_splits(config, settings.path(config.data.ann_file))
    metrics = MetricsLog(folder.metrics if is_first else Path(os.devnull))
    telemetry = Telemetry(metrics)
    progress_file = settings.progress_file if is_first else None
    reporter = Reporter(config, process.log, metrics, telemetry, progress_file)
    try:
        trainer = _trainer(config, settings, splits, folder, reporter, process)
        process.stop.defer()
        result = trainer.run()
        if is_first:
            _report(result, trainer, process)
            finish(result, folder, reporter, telemetry)
    finally:
        telemetry.stop()


def _require_gpus(group: Group) -> None:
    """Raise one error for all processes, then one in each: torchrun may use several machines."""
    group.first(device.require_gpu)
    device.require_gpu()


def _trainer(
    config: TrainConfig,
    settings: RunSettings,
    splits: Splits,
    folder: RunFolder,
    reporter: Reporter,
    process: Process,
) -> Trainer:
    """Return the trainer at the place where an earlier process left off; writes the first line."""
    sample = reporter.telemetry.start()
    chosen = device.pick_device(sample, settings.gpu_utilization_percent, process.group)
    with device.first_allocation(chosen):
        learner = Learner(config, chosen, process.group)
    progress = resume(learner, config, folder, settings, process.log)
    learner.share()
    trainer = Trainer(splits, learner, progress, folder, reporter, process.stop)
    reporter.start(settings.config_file.name, facts(settings, trainer))
    return trainer


def _report(result: dict[str, Any], trainer: Trainer, process: Process) -> None:
    """Write report.html; a failure is logged and does not fail the training."""
    if process.write_report is None:
        return
    try:
        process.write_report(result, trainer)
        process.log.line(f"wrote the report {trainer.folder.report}")
    except Exception as error:  # noqa: BLE001 - a full disk, a missing library, a GPU out of memory
        process.log.trace()
        remedy = f"python -m proto_gcn report {trainer.folder.path} --evaluate"
        reason = " ".join(str(error).split())
        process.log.line(f"could not write the report: {reason}; write it with {remedy}")


def finish(
    result: dict[str, Any], folder: RunFolder, reporter: Reporter, telemetry: Telemetry
) -> None:
    """Write result.json, after everything else."""
    reporter.end(result)
    telemetry.stop()
    failpoint.reach("trainer.result.before")
    folder.write_result(result)
    failpoint.reach("trainer.result.after")


def facts(settings: RunSettings, trainer: Trainer) -> dict[str, object]:
    """Return what the first line of a process shows beside its config."""
    learner, progress = trainer.learner, trainer.progress
    return {
        "job_id": settings.job_id,
        "train_samples": len(trainer.splits.train),
        "val_samples": len(trainer.splits.val),
        "parameters": sum(p.numel() for p in learner.model.parameters()),
        "steps": trainer.steps,
        "device": device.describe(learner.device),
        "epochs_done": progress.epoch,
        "steps_done": progress.step,
    }


def _failed(process: Process, error: Exception) -> int:
    """Log why the run failed, and return its exit code."""
    if isinstance(error, TrainerError):
        return _ended(process, str(error), error.exit_code, shared=error.shared)
    process.log.trace()
    if isinstance(error, OSError):
        name = error.filename or "a file of the run"
        reason = f"cannot use {name}: {error.strerror}; free space or grant access, then retry"
        return _ended(process, reason, errors.FAILED)
    if is_lost(error):
        return errors.LOST
    return _ended(process, _unexpected(error), errors.FAILED)


def _unexpected(error: Exception) -> str:
    if device.is_out_of_memory(error):
        return "out of memory outside the training steps: give the training more memory, then retry"
    reason = errors.first_line(error)
    return f"unexpected {type(error).__name__}: {reason} (trace-back in train.log)"


def _ended(process: Process, sentence: str, code: int, shared: bool = False) -> int:
    """Log the sentence; if all processes know it (shared), only the first does."""
    log, group = process.log, process.group
    if not group.is_first and not shared:
        log.silent = False
        sentence = f"process {group.rank}: {sentence}"
    try:
        log.line(" ".join(sentence.split()))
    except OSError:
        pass  # the disk of train.log is full; stdout has the sentence
    return code
