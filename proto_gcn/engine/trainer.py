"""The training loop: epochs, evaluation, checkpoints, reports."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from proto_gcn.data.dataset import EpochBatches, Loader, SkeletonDataset, Splits, make_loader
from proto_gcn.engine import device, failpoint
from proto_gcn.engine.checkpoints import checkpoint, randoms
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.learner import Learner, cosine
from proto_gcn.engine.reporting.clock import Clock
from proto_gcn.engine.reporting.reporter import Reporter
from proto_gcn.engine.reporting.run_log import now
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.stopping import Stop
from proto_gcn.errors import TerminatedError, TrainerError
from proto_gcn.evaluation.metrics import measure
from proto_gcn.evaluation.score_file import ScoreFile, of_validation
from proto_gcn.evaluation.scoring import score

CHECKPOINT_EVERY_S = 600.0  # within an epoch: a SIGKILL costs at most this much work


class Trainer:
    """Trains from `progress` to the last epoch; start reading at `run`."""

    def __init__(
        self,
        splits: Splits,
        learner: Learner,
        progress: Progress,
        folder: RunFolder,
        reporter: Reporter,
        stop: Stop,
    ) -> None:
        self.config = learner.config
        self.splits = splits
        self.learner = learner
        self.progress = progress
        self.folder = folder
        self.reporter = reporter
        self.stop = stop
        self.group = learner.group
        self.train_loader = self.loader(splits.train, self.config.seed)
        self.val_loader = self.loader(splits.val, seed=None)
        self.steps = len(self.train_loader)
        self.total_steps = self.steps * self.config.total_epochs
        self.clock = Clock(progress, self.steps_done())
        self.saved_at = time.monotonic()
        self.test_scores: ScoreFile | None = None  # for the report

    def run(self) -> dict[str, Any]:
        """Train all epochs, test, and return the result; raises TrainerError."""
        self.reporter.publish_missing(self.progress.report)
        data, batch = self.config.data, self.config.data.videos_per_gpu
        while not self.is_finished():
            with device.memory_advice(device.smaller_step(batch, self.config.engine.accumulate)):
                self.train_epoch()
            trained_s = self.clock.epoch_seconds()
            with self.evaluation_advice("val_clips", data.val_clips):
                measured = self.evaluate()
            self.finish_epoch(measured, trained_s)
        with self.evaluation_advice("test_clips", data.test_clips or 1):
            return self.result(self.test())

    def evaluation_advice(self, key: str, clips: int) -> AbstractContextManager[None]:
        """Turn running out of memory while scoring into an error with the remedy."""
        batch = self.config.data.videos_per_gpu
        return device.memory_advice(device.smaller_evaluation(key, clips, batch))

    def train_epoch(self) -> None:
        """Train on the batches of this epoch that are not done yet."""
        self.learner.model.train()
        rates = self.config.optimizer.lr, self.config.lr_config.min_lr
        for clips, labels in batches(self.train_loader, self.progress):
            lr = cosine(*rates, self.steps_done(), self.total_steps)
            loss = self.learner.step(clips, labels, lr)
            if not math.isfinite(loss):
                raise self.diverged(f"the loss became {loss}")
            self.progress.count(loss, len(labels) * self.group.size)
            self.after_step(loss)

    def after_step(self, loss: float) -> None:
        """Report the step, save if the last checkpoint is old, and stop if asked to."""
        eta_s = self.clock.eta(self.steps_done(), self.total_steps)
        self.reporter.step(self.progress, self.steps, loss, eta_s)
        if self.group.any(time.monotonic() >= self.saved_at + CHECKPOINT_EVERY_S):
            self.save("latest")
        self.obey_stop()

    def evaluate(self) -> dict[str, float]:
        """Measure the validation split; returns {} if this epoch is not evaluated."""
        epoch = self.progress.epoch + 1
        if epoch % self.config.evaluation.interval and epoch < self.config.total_epochs:
            return {}
        return measure(*self.scored(self.val_loader, self.obey_stop), self.config.evaluation)

    def scored(self, loader: Loader, between: Callable[[], None]) -> tuple[Tensor, Tensor]:
        """Return scores [N, L] and labels [N] of all samples in their order.

        Every process scores its share.
        """
        mine = score(self.learner.model, loader, between)
        dataset = loader.dataset
        assert isinstance(dataset, SkeletonDataset)
        scores, labels = (self.group.interleaved(part, len(dataset)) for part in mine)
        return scores, labels

    def loader(self, samples: SkeletonDataset, seed: int | None) -> Loader:
        """Return the batches of this process's share of the samples."""
        return make_loader(samples, self.config.data, seed, self.group.rank, self.group.size)

    def finish_epoch(self, measured: dict[str, float], trained_s: float) -> None:
        """Write checkpoints, then report the epoch.

        Each checkpoint holds the report, so that a process killed in between loses no line.
        """
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
        """Return the epoch's line in metrics.jsonl."""
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
        """Measure the best checkpoint on test_clips clips per sample, if the config sets them."""
        clips = self.config.data.test_clips
        if clips is None:
            return {}
        self.learner.model.load_state_dict(checkpoint.read(self.folder.best)["state_dict"])
        samples = SkeletonDataset(self.splits.val.samples, self.config, clips)
        loader = self.loader(samples, seed=None)
        # The weights are the best ones here, not the latest: stopping must not save them.
        scores, labels = self.scored(loader, between=self.leave_together)
        self.test_scores = of_validation(
            self.config, self.folder.best, clips, scores, labels, samples.samples.names
        )
        return {
            f"test_{name}": value
            for name, value in measure(scores, labels, self.config.evaluation).items()
        }

    def result(self, tested: dict[str, float]) -> dict[str, Any]:
        """Return the content of result.json."""
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
        """Let the first process write `latest` or `best`; refuses weights that are not finite."""
        if not self.learner.is_finite():
            raise self.diverged("the weights became infinite")
        self.progress.epoch_s = self.clock.epoch_seconds()
        self.progress.elapsed_s = self.clock.elapsed()
        path = self.folder.best if name == "best" else self.folder.latest
        states = self.group.each(randoms.state())
        contents = self.learner, self.progress, self.config, states
        self.group.first(lambda: checkpoint.write(path, checkpoint.encode(*contents)))
        if name == "latest":  # a run resumes from it
            self.saved_at = time.monotonic()

    def obey_stop(self) -> None:
        """If any process was asked to stop, save, then raise TerminatedError in all."""
        if self.group.any(self.stop.requested):
            self.save("latest")
            self.leave()

    def leave_together(self) -> None:
        """If any process was asked to stop, raise TerminatedError in all."""
        if self.group.any(self.stop.requested):
            self.leave()

    def leave_if_asked(self) -> None:
        """If this process was asked to stop, raise TerminatedError."""
        if self.stop.requested:
            self.leave()

    def leave(self) -> None:
        """Raise TerminatedError."""
        done = f"{self.progress.epoch} epochs and {self.progress.step} of {self.steps} steps"
        raise TerminatedError(
            f"stopped by SIGTERM after {done}; the same job resumes from {self.folder.latest}"
        )

    def diverged(self, what: str) -> TrainerError:
        """Return the error for a loss or weight that is not finite, with the remedies."""
        where = f"in epoch {self.progress.epoch + 1} after step {self.progress.step}"
        remedy = "set engine.precision to bf16, " * (self.config.engine.precision == "fp16")
        remedy += f"lower optimizer.lr ({self.config.optimizer.lr:g}) "
        remedy += f"or look for NaN in {self.config.data.ann_file}"
        error = TrainerError(f"{what} {where}: {remedy}; the last good checkpoint is kept")
        error.shared = True
        return error

    def is_finished(self) -> bool:
        return self.progress.epoch == self.config.total_epochs

    def steps_done(self) -> int:
        return self.progress.epoch * self.steps + self.progress.step


def batches(loader: Loader, progress: Progress) -> Loader:
    """Return the loader, set to the epoch and batch that the progress has reached."""
    sampler = loader.batch_sampler
    assert isinstance(sampler, EpochBatches)
    sampler.epoch = progress.epoch
    sampler.start = progress.step
    return loader
