"""This module makes batches that depend on seed, epoch and position alone.

Therefore a resumed epoch continues exactly where it stopped.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from proto_gcn.child_process import die_with
from proto_gcn.config.train import DataConfig, TrainConfig
from proto_gcn.data.files.annotations import DataFile
from proto_gcn.data.frame_sampling import Generators
from proto_gcn.data.pipeline import make_pipeline
from proto_gcn.data.samples import Samples, make_samples
from proto_gcn.errors import DataError

Batch = tuple[Tensor, Tensor]  # clips [N, n, M, T, V, C] float32, labels [N] int64


class EpochSample(NamedTuple):
    """`sample` is at `position` (from 0, over all processes) in the epoch."""

    epoch: int
    position: int
    sample: int


class SkeletonDataset(Dataset[Batch]):
    """Returns (clips [n, M, T, V, C], label) for an EpochSample, and a Batch for a list of them.

    In training the random numbers depend on (seed, position), so that every epoch repeats them for
    other samples, as in the published code; with fresh_draws they depend on (seed, epoch, sample).
    The number of workers and processes changes nothing. Evaluation draws the same numbers for every
    sample (test_seed), also as in the published code.
    """

    def __init__(self, samples: Samples, config: TrainConfig, clips: int = 0) -> None:
        """Make a training set when `clips` is 0, else an evaluation set."""
        self.samples = samples
        self.clips = clips or 1
        self._pipeline = make_pipeline(config, clips or None)
        self._seed = config.seed
        self._fresh = config.data.fresh_draws
        self._generators = Generators()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, wanted: EpochSample) -> Batch:
        clips, labels = self._batch([wanted])
        return clips[0], labels[0]

    def __getitems__(self, wanted: list[EpochSample]) -> Batch | DataError | OSError:
        """Return the batch; an error is returned as a value.

        If a worker process raised it, the main process would only see the text of a traceback.
        """
        try:
            return self._batch(wanted)
        except (DataError, OSError) as error:
            return error

    def _batch(self, wanted: list[EpochSample]) -> Batch:
        samples = self.samples
        clips = np.zeros((len(wanted), *self._pipeline.shape), np.float32)
        for out, each in zip(clips, wanted, strict=True):
            width = int(samples.widths[each.sample])
            keypoints = samples.keypoints[each.sample]
            self._pipeline.fill(out, keypoints, width, self._generators_for(each))
        labels = samples.labels[[each.sample for each in wanted]]
        return torch.from_numpy(clips), torch.from_numpy(labels)

    def _generators_for(self, wanted: EpochSample) -> Generators:
        if self._pipeline.clips is not None:
            return self._generators  # evaluation does not use them
        if self._fresh:
            return self._generators.reseed(self._seed, wanted.epoch, wanted.sample)
        return self._generators.reseed(self._seed, wanted.position)


class EpochBatches(Sampler[list[EpochSample]]):
    """Yields the batches of one process; set `epoch` and `start` (the first batch) before.

    Process `rank` of `world` gets every world-th sample of a common order. The order is extended
    from its beginning until all processes get equally many. So the n-th batches of all processes
    together are the n-th batch of one process with the batch size world x batch.
    """

    def __init__(
        self, size: int, batch: int, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        """Shuffle with a seed; without one keep the order, for evaluation."""
        self.size = size
        self.batch = batch
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return -(-self.size // (self.world * self.batch))

    def __iter__(self) -> Iterator[list[EpochSample]]:
        order = self._order()
        order += (order * self.world)[: -self.size % self.world]
        mine = range(self.rank, len(order), self.world)
        for first in range(self.start * self.batch, len(mine), self.batch):
            positions = mine[first : first + self.batch]
            yield [EpochSample(self.epoch, at, order[at]) for at in positions]

    def _order(self) -> list[int]:
        if self.seed is None:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        return torch.randperm(self.size, generator=generator).tolist()


class Splits(NamedTuple):
    """The data sets for training and for validation."""

    train: SkeletonDataset
    val: SkeletonDataset


def load_splits(config: TrainConfig, path: Path) -> Splits:
    """Load both splits of the data file; raises DataError."""
    file, data = DataFile(path), config.data
    train = make_samples(file, data.train_split, config, training=True, labelled=True)
    val = make_samples(file, data.val_split, config, training=False, labelled=True)
    return Splits(SkeletonDataset(train, config), SkeletonDataset(val, config, data.val_clips))


def load_dataset(
    config: TrainConfig, path: Path, split: str | None, clips: int, labelled: bool
) -> SkeletonDataset:
    """Load a split for scoring, or the whole file when `split` is None; raises DataError.

    Without `labelled` every label is -1.
    """
    samples = make_samples(DataFile(path), split, config, training=False, labelled=labelled)
    return SkeletonDataset(samples, config, clips)


class Loader(DataLoader[Batch]):
    """Yields the batches of a dataset.

    Raises DataError if a sample is wrong, and OSError if it cannot be read at the moment.
    """

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            if isinstance(batch, Exception):
                raise batch
            yield batch


def make_loader(
    dataset: SkeletonDataset, config: DataConfig, seed: int | None, rank: int = 0, world: int = 1
) -> Loader:
    """Return a loader that shuffles if there is a seed; its batch_sampler is an EpochBatches.

    An evaluation batch with several clips per sample holds fewer samples: no more clips than a
    training batch, or those of one sample.
    """
    batch = max(1, config.videos_per_gpu // dataset.clips)
    return Loader(
        dataset,
        batch_sampler=EpochBatches(len(dataset), batch, seed, rank, world),
        collate_fn=_unchanged,
        pin_memory=torch.cuda.is_available(),
        # Without one, every epoch would draw a worker seed from the global generator.
        generator=torch.Generator(),
        **_worker_options(config.workers_per_gpu),
    )


def _worker_options(wanted: int) -> dict[str, Any]:
    workers = min(wanted, len(os.sched_getaffinity(0)))  # more would only share the same CPUs
    return {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "worker_init_fn": partial(_join_loader, os.getpid()),
        # A forked worker shares the samples; other methods would copy them.
        "multiprocessing_context": "fork" if workers else None,
    }


def _unchanged(batch: Any) -> Any:
    return batch


def _join_loader(trainer: int, _worker: int) -> None:
    """Make a worker end with its trainer, and leave the trainer's process group.

    A worker inherits the lock of the run folder, so it must not survive. Signals to the group are
    for the trainer alone.
    """
    die_with(trainer)()
    os.setpgid(0, 0)
