"""Samples and batches, functions of (seed, epoch, position): a resumed epoch goes on exactly where it stopped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from proto_gcn.config import DataConfig, TrainConfig
from proto_gcn.data import transforms
from proto_gcn.data.annotations import Annotation, read_splits
from proto_gcn.data.transforms import Draws

Batch = tuple[Tensor, Tensor]  # clips [N, n, M, T, V, C] float32, labels [N] int64


class SkeletonDataset(Dataset[tuple[Tensor, int]]):
    """(epoch, index) -> (clips [n, M, T, V, C], label).

    Training draws are seeded by (seed, epoch, index): no epoch repeats another's augmentation, and the number of
    workers changes nothing. Evaluation draws are the same for every sample, as published (test_seed).
    """

    def __init__(self, samples: list[Annotation], config: TrainConfig, clips: int = 0) -> None:
        self.samples = samples
        self._config, self._stream, self._seed = config.data, config.modality, config.seed
        self._test_clips = clips  # 0: a training set

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, int]:
        epoch, index = key
        training, config = not self._test_clips, self._config
        draws = Draws.seeded(self._seed, epoch, index)
        keypoint = transforms.normalise(self.samples[index].keypoint)
        if training:
            keypoint = self._augmented(keypoint, draws)
        frames = transforms.feature(keypoint, self._stream)
        generator = draws.numpy
        if not training:
            generator.seed(config.test_seed)
        clips = self._test_clips or 1
        chosen = transforms.uniform_frames(frames.shape[1], config.clip_len, clips, generator)
        clip = transforms.to_clips(frames[:, chosen], config.num_person, clips)
        return torch.from_numpy(clip), self.samples[index].label

    def _augmented(self, keypoint: transforms.Array, draws: Draws) -> transforms.Array:
        config = self._config
        if config.rotate:
            keypoint = transforms.rotate(keypoint, config.rotate, draws)
        if config.flip:
            keypoint = transforms.flip(keypoint, config.flip, draws)
        if config.part_drop:
            keypoint = transforms.drop_part(keypoint, config.part_drop, draws)
        return keypoint


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index); set `epoch` and `start` (the first batch wanted) before iterating."""

    def __init__(self, size: int, batch: int, seed: int | None) -> None:
        self.size, self.batch, self.seed = size, batch, seed
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return -(-self.size // self.batch)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        for first in range(self.start * self.batch, self.size, self.batch):
            yield [(self.epoch, index) for index in order[first : first + self.batch]]

    def _order(self) -> list[int]:
        if self.seed is None:  # evaluation
            return list(range(self.size))
        return torch.randperm(self.size, generator=torch.Generator().manual_seed(self.seed + self.epoch)).tolist()


class Splits(NamedTuple):
    """What a run trains on and what it is judged by."""

    train: SkeletonDataset
    val: SkeletonDataset


def load_splits(config: TrainConfig, path: Path) -> Splits:
    """Both splits of the data file; raises DataError."""
    names = config.data.train_split, config.data.val_split
    train, val = read_splits(path, names, config.model.cls_head.num_classes)
    return Splits(SkeletonDataset(train, config), SkeletonDataset(val, config, config.data.val_clips))


def make_loader(dataset: SkeletonDataset, config: DataConfig, seed: int | None) -> DataLoader[Any]:
    """Shuffles with a seed, keeps the order without one; its batch_sampler is an EpochBatches."""
    workers = min(config.workers_per_gpu, len(os.sched_getaffinity(0)))  # more would only fight for the same CPUs
    return DataLoader(
        dataset,
        batch_sampler=EpochBatches(len(dataset), config.videos_per_gpu, seed),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_ignore_signals,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else every epoch's start draws a worker seed from the global generator
    )


def _ignore_signals(_worker: int) -> None:
    """A signal to the whole process group is the trainer's to handle: it still needs its workers for this step."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
