"""Samples and batches, functions of (seed, epoch, place): a resumed epoch goes on exactly where it stopped."""

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
from proto_gcn.data.draws import Draws
from proto_gcn.data.files.annotations import DataFile
from proto_gcn.data.pipeline import make_pipeline
from proto_gcn.data.samples import Samples, make_samples
from proto_gcn.errors import DataError

Batch = tuple[Tensor, Tensor]  # clips [N, n, M, T, V, C] float32, labels [N] int64


class Place(NamedTuple):
    """A sample in an epoch: the `position`-th (from 0, over all processes) is this `sample`."""

    epoch: int
    position: int
    sample: int


class SkeletonDataset(Dataset[Batch]):
    """Place -> (clips [n, M, T, V, C], label); a list of places -> Batch, which is what the loader asks for.

    Training draws belong to (seed, position), so that every epoch repeats them for other samples (published quirk), or
    with fresh_draws to (seed, epoch, sample). The number of workers and processes changes nothing. Evaluation draws are
    the same for every sample, as published (test_seed).
    """

    def __init__(self, samples: Samples, config: TrainConfig, clips: int = 0) -> None:
        self.samples = samples
        self._pipeline = make_pipeline(config, clips or None)  # 0: a training set
        self.clips = clips or 1
        self._seed, self._fresh, self._draws = config.seed, config.data.fresh_draws, Draws()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, place: Place) -> Batch:
        clips, labels = self._batch([place])
        return clips[0], labels[0]

    def __getitems__(self, places: list[Place]) -> Batch | DataError | OSError:
        """An error is a value here: raised in a worker process it would arrive as the text of a trace-back."""
        try:
            return self._batch(places)
        except (DataError, OSError) as error:
            return error

    def _batch(self, places: list[Place]) -> Batch:
        samples, clips = self.samples, np.zeros((len(places), *self._pipeline.shape), np.float32)
        for out, place in zip(clips, places, strict=True):
            width = int(samples.widths[place.sample])
            self._pipeline.fill(out, samples.keypoints[place.sample], width, self._drawn_for(place))
        return torch.from_numpy(clips), torch.from_numpy(
            samples.labels[[place.sample for place in places]]
        )

    def _drawn_for(self, place: Place) -> Draws:
        if self._pipeline.clips is not None:
            return self._draws  # not used
        if self._fresh:
            return self._draws.reseed(self._seed, place.epoch, place.sample)
        return self._draws.reseed(self._seed, place.position)


class EpochBatches(Sampler[list[Place]]):
    """One process's batches; set `epoch` and `start` (the first batch wanted) before iterating.

    Process `rank` of `world` gets every world-th sample of one order, which is filled up from its beginning until all
    get equally many: the n-th batches of all processes together are the n-th batch of one process with world x batch.
    """

    def __init__(
        self, size: int, batch: int, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        self.size, self.batch, self.seed, self.rank, self.world = size, batch, seed, rank, world
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return -(-self.size // (self.world * self.batch))

    def __iter__(self) -> Iterator[list[Place]]:
        order = self._order()
        order += (order * self.world)[: -self.size % self.world]
        mine = range(self.rank, len(order), self.world)
        for first in range(self.start * self.batch, len(mine), self.batch):
            yield [Place(self.epoch, at, order[at]) for at in mine[first : first + self.batch]]

    def _order(self) -> list[int]:
        if self.seed is None:  # evaluation
            return list(range(self.size))
        return torch.randperm(
            self.size, generator=torch.Generator().manual_seed(self.seed + self.epoch)
        ).tolist()


class Splits(NamedTuple):
    """What a run trains on and what it is judged by."""

    train: SkeletonDataset
    val: SkeletonDataset


def load_splits(config: TrainConfig, path: Path) -> Splits:
    """Both splits of the data file; raises DataError."""
    file, data = DataFile(path), config.data
    train = make_samples(file, data.train_split, config, training=True, labelled=True)
    val = make_samples(file, data.val_split, config, training=False, labelled=True)
    return Splits(SkeletonDataset(train, config), SkeletonDataset(val, config, data.val_clips))


def load_dataset(
    config: TrainConfig, path: Path, split: str | None, clips: int, labelled: bool
) -> SkeletonDataset:
    """A split to be scored, or without a name the whole file, where labels may be absent (-1); raises DataError."""
    return SkeletonDataset(
        make_samples(DataFile(path), split, config, False, labelled), config, clips
    )


class Loader(DataLoader[Batch]):
    """Batches of a dataset; raises DataError where a sample is wrong, OSError where it cannot be read now."""

    def __iter__(self) -> Any:
        for batch in super().__iter__():
            if isinstance(batch, Exception):
                raise batch
            yield batch


def make_loader(
    dataset: SkeletonDataset, config: DataConfig, seed: int | None, rank: int = 0, world: int = 1
) -> Loader:
    """Shuffles with a seed, keeps the order without one; its batch_sampler is an EpochBatches.

    Evaluation on several clips takes fewer samples at once: its batches hold no more clips than training's, or those
    of one sample.
    """
    workers = min(
        config.workers_per_gpu, len(os.sched_getaffinity(0))
    )  # more would only fight for the same CPUs
    batch = max(1, config.videos_per_gpu // dataset.clips)
    return Loader(
        dataset,
        batch_sampler=EpochBatches(len(dataset), batch, seed, rank, world),
        num_workers=workers,
        collate_fn=_as_it_is,
        persistent_workers=workers > 0,
        worker_init_fn=partial(_join_loader, os.getpid()),
        multiprocessing_context="fork"
        if workers
        else None,  # shares the samples; other methods would copy them
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else every epoch's start draws a worker seed from the global generator
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _join_loader(trainer: int, _worker: int) -> None:
    """A worker ends with its trainer, whose lock it holds too, and is not in its group: signals are the trainer's."""
    die_with(trainer)()
    os.setpgid(0, 0)
