"""The training loop: epochs, evaluation, checkpoints, reports."""

import math
import time
from typing import Any

from torch.utils.data import DataLoader

from proto_gcn.config import TrainConfig
from proto_gcn.data.dataset import EpochBatches, SkeletonDataset, Splits, make_loader
from proto_gcn.engine import checkpoint, device, failpoint
from proto_gcn.engine.checkpoint import Progress
from proto_gcn.engine.clock import Clock
from proto_gcn.engine.evaluation import collect_scores, measure
from proto_gcn.engine.learner import Learner, cosine
from proto_gcn.engine.reporter import Reporter
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.run_log import now
from proto_gcn.engine.stopping import Stop
from proto_gcn.errors import TerminatedError, TrainerError

CHECKPOINT_EVERY_S = 600.0  # within an epoch: a SIGKILL costs at most this much work


class Trainer:
    """Goes on from `progress` to the last epoch; `run` is the whole story."""

    def __init__(
        self,
        config: TrainConfig,
        splits: Splits,
        learner: Learner,
        progress: Progress,
        folder: RunFolder,
        reporter: Reporter,
        stop: Stop,
    ) -> None:
        self.config, self.splits, self.learner, self.progress = config, splits, learner, progress
        self.folder, self.reporter, self.stop = folder, reporter, stop
        self.train_loader = make_loader(splits.train, config.data, config.seed)
        self.val_loader = make_loader(splits.val, config.data, seed=None)
        self.steps = len(self.train_loader)
        self.total_steps = self.steps * config.total_epochs
        self.clock = Clock(progress, self.steps_done())
        self.saved_at = time.monotonic()

    def run(self) -> dict[str, Any]:
        """The result of the finished run; raises TrainerError."""
        self.reporter.publish_missing(self.progress.report)
        with device.memory_advice(self.config.data.videos_per_gpu):
            while self.progress.epoch < self.config.total_epochs:
                self.train_epoch()
                trained_s = self.clock.epoch_seconds()
                self.finish_epoch(self.evaluate(), trained_s)
            return self.result(self.test())

    def train_epoch(self) -> None:
        """The batches of this epoch that are not done yet."""
        self.learner.model.train()
        for clips, labels in batches(self.train_loader, self.progress):
            lr = cosine(self.config.optimizer.lr, self.config.lr_config.min_lr, self.steps_done(), self.total_steps)
            loss = self.learner.step(clips, labels, lr)
            if not math.isfinite(loss):
                raise self.diverged(f"the loss became {loss}")
            self.progress.count(loss, len(labels))
            self.after_step(loss)

    def after_step(self, loss: float) -> None:
        eta_s = self.clock.eta(self.steps_done(), self.total_steps)
        self.reporter.step(self.progress, self.steps, loss, eta_s)
        if time.monotonic() >= self.saved_at + CHECKPOINT_EVERY_S:
            self.save("latest")
        self.obey_stop()

    def evaluate(self) -> dict[str, float]:
        """Scores on the validation split, where it is this epoch's turn or the last."""
        epoch = self.progress.epoch + 1
        if epoch % self.config.evaluation.interval and epoch < self.config.total_epochs:
            return {}
        scores, labels = collect_scores(self.learner, self.val_loader, between=self.obey_stop)
        return measure(scores, labels, self.config.evaluation)

    def finish_epoch(self, measured: dict[str, float], trained_s: float) -> None:
        """Checkpoints, then the report: each checkpoint holds the report, so a death in between loses no line."""
        better = self.progress.is_better(measured.get("top1"))
        line = self.epoch_report(measured, trained_s)
        self.progress = self.progress.next_epoch(line)
        self.clock.next_epoch()
        if better:
            self.save("best")
            failpoint.reach("trainer.best.saved")
        if self.progress.epoch % self.config.checkpoint_config.interval == 0 or self.is_finished():
            self.save("latest")
            failpoint.reach("trainer.latest.saved")
        self.reporter.publish(line)
        failpoint.reach("trainer.epoch.reported")

    def epoch_report(self, measured: dict[str, float], trained_s: float) -> dict[str, Any]:
        progress = self.progress
        return {
            "epoch": progress.epoch + 1,
            "epochs": self.config.total_epochs,
            "loss": progress.loss_sum / progress.samples,
            **measured,
            "best_top1": progress.best_top1,
            "best_epoch": progress.best_epoch,
            "lr": self.learner.optimizer.param_groups[0]["lr"],
            "samples_per_s": round(progress.samples / trained_s, 2),
            "epoch_s": round(self.clock.epoch_seconds(), 3),
            "eta_s": self.clock.eta(self.steps_done(), self.total_steps),
        }

    def test(self) -> dict[str, float]:
        """The best checkpoint on test_clips clips per sample, where the config asks for it."""
        clips = self.config.data.test_clips
        if clips is None:
            return {}
        self.learner.model.load_state_dict(checkpoint.read(self.folder.best)["state_dict"])
        samples = SkeletonDataset(self.splits.val.samples, self.config, clips)
        loader = make_loader(samples, self.config.data, seed=None)
        # The weights are the best ones here, not the latest: stopping saves nothing, and latest.pth is there already.
        scores, labels = collect_scores(self.learner, loader, between=self.leave_if_asked)
        return {f"test_{name}": value for name, value in measure(scores, labels, self.config.evaluation).items()}

    def result(self, tested: dict[str, float]) -> dict[str, Any]:
        return {
            "status": "succeeded",
            "job_id": self.folder.path.name,
            "best_top1": self.progress.best_top1,
            "best_epoch": self.progress.best_epoch,
            "epochs": self.progress.epoch,
            **tested,
            "checkpoint": str(self.folder.best),
            "log": str(self.folder.log),
            "metrics": str(self.folder.metrics),
            "duration_s": round(self.clock.elapsed(), 1),
            "finished_at": now(),
        }

    def save(self, name: str) -> None:
        """Writes latest or best; weights that are not finite are refused, since the last good ones are worth more."""
        if not self.learner.is_finite():
            raise self.diverged("the weights became infinite")
        self.progress.epoch_s, self.progress.elapsed_s = self.clock.epoch_seconds(), self.clock.elapsed()
        path = self.folder.best if name == "best" else self.folder.latest
        checkpoint.write(
            path, checkpoint.encode(self.learner.model, self.learner.optimizer, self.progress, self.config)
        )
        self.saved_at = time.monotonic()

    def obey_stop(self) -> None:
        if self.stop.requested:
            self.save("latest")
        self.leave_if_asked()

    def leave_if_asked(self) -> None:
        if self.stop.requested:
            done = f"{self.progress.epoch} epochs and {self.progress.step} of {self.steps} steps"
            raise TerminatedError(f"stopped by SIGTERM after {done}; the same job goes on from {self.folder.latest}")

    def diverged(self, what: str) -> TrainerError:
        where = f"in epoch {self.progress.epoch + 1} after step {self.progress.step}"
        remedy = f"lower optimizer.lr ({self.config.optimizer.lr:g}) or look for NaN in {self.config.data.ann_file}"
        return TrainerError(f"{what} {where}: {remedy}; the last good checkpoint is kept")

    def is_finished(self) -> bool:
        return self.progress.epoch == self.config.total_epochs

    def steps_done(self) -> int:
        return self.progress.epoch * self.steps + self.progress.step


def batches(loader: DataLoader[Any], progress: Progress) -> DataLoader[Any]:
    """The loader, set to the epoch and batch that the progress has reached."""
    sampler = loader.batch_sampler
    assert isinstance(sampler, EpochBatches)
    sampler.epoch, sampler.start = progress.epoch, progress.step
    return loader
