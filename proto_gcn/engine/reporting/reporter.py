"""Reports a run to people (train.log, stdout), programs (metrics.jsonl) and Argo (progress)."""

import time
from pathlib import Path
from typing import Any

from proto_gcn.atomic_file import write_atomically
from proto_gcn.config.train import TrainConfig
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.reporting.run_log import MetricsLog, RunLog, duration
from proto_gcn.engine.reporting.telemetry import Gpu, Sample, Telemetry

STEP_LINE_EVERY_S = 2.0


class Reporter:
    """Writes what one run reports."""

    def __init__(
        self,
        config: TrainConfig,
        log: RunLog,
        metrics: MetricsLog,
        telemetry: Telemetry,
        progress_file: Path | None,
    ) -> None:
        self._config = config
        self._log = log
        self._metrics = metrics
        self.telemetry = telemetry
        self._progress_file = progress_file
        self._step_line_due = 0.0

    def start(self, config_name: str, facts: dict[str, Any]) -> None:
        """Write the first line of a process."""
        config = self._config
        self._log.line(start_line(config_name, config, facts))
        fixed = {
            "config": config_name,
            "modality": config.modality,
            "seed": config.seed,
            "epochs": config.total_epochs,
        }
        self._metrics.write("start", **fixed, **facts)

    def step(self, progress: Progress, steps: int, loss: float, eta_s: float | None) -> None:
        """Write a line for programs every 2 s, one for people every log_config.interval steps."""
        epoch, epochs = progress.epoch + 1, self._config.total_epochs
        if time.monotonic() >= self._step_line_due:
            self._step_line_due = time.monotonic() + STEP_LINE_EVERY_S
            at = {"epoch": epoch, "epochs": epochs, "step": progress.step, "steps": steps}
            self._metrics.write("step", **at, loss=loss, eta_s=eta_s)
        if progress.step % self._config.log_config.interval == 0 and progress.step < steps:
            place = f"epoch {epoch}/{epochs} step {progress.step}/{steps}"
            self._log.line(f"{place} loss {loss:.3g} ETA {duration(eta_s)}")

    def publish_missing(self, report: dict[str, Any] | None) -> None:
        """Write the epoch that an earlier process finished but did not live to report."""
        if report is not None and not self._metrics.has_epoch(report["epoch"]):
            self.publish(report)

    def publish(self, report: dict[str, Any]) -> None:
        """Write the line of a finished epoch."""
        self._metrics.write("epoch", **report)
        self._log.line(epoch_line(report, self.telemetry.latest))
        if self._progress_file:
            try:
                # As a whole: Argo's executor crashes on a number without a slash.
                write_atomically(
                    self._progress_file, f"{report['epoch']}/{report['epochs']}".encode()
                )
            except OSError:
                pass  # a progress bar is not worth a training

    def end(self, result: dict[str, Any]) -> None:
        """Write the last line of a training that succeeded."""
        test = f", test top1 {result['test_top1']:.1f}" if "test_top1" in result else ""
        best = f"best top1 {result['best_top1']:.1f} @{result['best_epoch']}{test}"
        self._log.line(
            f"done: {best}, checkpoint {result['checkpoint']}, {duration(result['duration_s'])}"
        )


def start_line(config_name: str, config: TrainConfig, facts: dict[str, Any]) -> str:
    """Return the first line of a process for people."""
    classes, epochs = config.model.cls_head.num_classes, config.total_epochs
    return (
        f"{config_name}: stream {config.modality}, seed {config.seed}, "
        f"{facts['train_samples']} training and {facts['val_samples']} validation samples "
        f"of {classes} classes, {facts['parameters']:,} parameters, "
        f"{epochs} epochs of {facts['steps']} steps on {facts['device']}"
    )


def epoch_line(report: dict[str, Any], sample: Sample) -> str:
    """Return an epoch's line for people, such as this one (as one line).

    `epoch 12/150 loss 1.83 top1 61.2 (best 63.0 @10) lr 0.05 412 clips/s ETA 1h22m
    GPU 71% 8.1/24 GB`
    """
    words = [f"epoch {report['epoch']}/{report['epochs']} loss {report['loss']:.3g}"]
    if "top1" in report:
        best = f"best {report['best_top1']:.1f} @{report['best_epoch']}"
        words.append(f"top1 {report['top1']:.1f} ({best})")
    words.append(f"lr {report['lr']:.3g} {report['samples_per_s']:.0f} clips/s")
    words.append(f"ETA {duration(report['eta_s'])}")
    return " ".join(words + [gpu_words(gpu) for gpu in sample.gpus])


def gpu_words(gpu: Gpu) -> str:
    """Return `GPU 71% 8.1/24 GB`, with `?` for what the driver does not report."""
    use = "?" if gpu.utilization_percent is None else f"{gpu.utilization_percent:.0f}"
    used, total = (
        "?" if mb is None else f"{mb / 1024:.2g}"
        for mb in (gpu.memory_used_mb, gpu.memory_total_mb)
    )
    return f"GPU {use}% {used}/{total} GB"
