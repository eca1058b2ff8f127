"""The order of an epoch, its batches and the random numbers of each position."""

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from devtools.testbed.skeletons import small_config, write
from proto_gcn.config.train import TrainConfig
from proto_gcn.data.dataset import (
    Batch,
    EpochBatches,
    EpochSample,
    SkeletonDataset,
    load_splits,
    make_loader,
)


def train_of(config: TrainConfig, path: Path) -> SkeletonDataset:
    return load_splits(config, path).train


def test_training_draws_depend_on_the_position_in_the_epoch(
    config: TrainConfig, made: Any, tmp_path: Path
) -> None:
    """The published loader repeats its draws in every epoch, for other samples."""
    path = write(tmp_path / "x.pkl", made)
    train = train_of(config, path)
    first = train[EpochSample(0, 2, 3)][0]
    train[EpochSample(0, 5, 4)]
    assert torch.equal(train[EpochSample(1, 2, 3)][0], first)
    assert not torch.equal(train[EpochSample(0, 3, 3)][0], first)
    other = train_of(config.model_copy(update={"seed": 5}), path)
    assert not torch.equal(other[EpochSample(0, 2, 3)][0], first)


def test_fresh_draws_depend_on_epoch_and_sample(raw_config: Any, made: Any, tmp_path: Path) -> None:
    train = train_of(small_config(raw_config, fresh_draws=True), write(tmp_path / "x.pkl", made))
    first = train[EpochSample(0, 2, 3)][0]
    assert torch.equal(train[EpochSample(0, 7, 3)][0], first)
    assert not torch.equal(train[EpochSample(1, 2, 3)][0], first)


def test_the_config_switches_augmentations(
    raw_config: dict[str, Any], made: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.pkl", made)
    plain = train_of(small_config(raw_config, rotate=0.0), path)[EpochSample(0, 0, 0)][0]
    for change in (
        {"rotate": 0.2},
        {"rotate": 0.0, "flip": 1.0},
        {"rotate": 0.0, "part_drop": 1.0},
    ):
        assert not torch.equal(
            train_of(small_config(raw_config, **change), path)[EpochSample(0, 0, 0)][0], plain
        )


def test_batches_cover_an_epoch_once_and_can_start_in_its_middle() -> None:
    batches = EpochBatches(size=10, batch=4, seed=7)
    batches.epoch = 2
    whole = list(batches)
    assert [len(b) for b in whole] == [4, 4, 2]
    assert len(batches) == 3
    order = torch.randperm(10, generator=torch.Generator().manual_seed(9)).tolist()
    assert [place for b in whole for place in b] == [
        (2, at, sample) for at, sample in enumerate(order)
    ]
    batches.start = 1
    assert list(batches) == whole[1:]


@pytest.mark.parametrize(("size", "seed"), [(12, 7), (10, 7), (10, None), (2, None)])
def test_several_processes_together_get_the_batches_of_one(size: int, seed: int | None) -> None:
    one = list(EpochBatches(size, 6, seed))
    parts = [EpochBatches(size, 2, seed, rank, 3) for rank in range(3)]
    assert len({len(part) for part in parts}) == 1
    assert [len(list(part)) for part in parts] == [len(parts[0])] * 3
    together = [sorted(itertools.chain(*batches)) for batches in zip(*parts, strict=True)]
    for alone, shared in zip(one, together, strict=True):
        assert shared[: len(alone)] == sorted(alone)
    order = [place.sample for batch in one for place in batch]
    filled = [place.sample for batch in together for place in batch]
    assert filled == (order * 3)[: -(-size // 3) * 3]


def test_workers_give_the_batches_of_the_main_process(
    raw_config: dict[str, Any], made: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.pkl", made)
    both: list[list[Batch]] = []
    for workers in (0, 2):
        config = small_config(raw_config, workers_per_gpu=workers, videos_per_gpu=4)
        both.append(list(make_loader(load_splits(config, path).train, config.data, seed=3)))
    assert [len(labels) for _, labels in both[0]] == [4, 4, 2]
    for (clips, labels), (others, same) in zip(*both, strict=True):
        assert clips.shape == (len(labels), 1, 2, 8, 25, 3)
        assert torch.equal(clips, others)
        assert torch.equal(labels, same)


def test_samples_do_not_use_global_generators(
    config: TrainConfig, made: Any, tmp_path: Path
) -> None:
    splits = load_splits(config, write(tmp_path / "x.pkl", made))
    numpy_state, python_state = np.random.get_state()[1].copy(), random.getstate()
    for dataset in splits:
        dataset[EpochSample(0, 0, 0)]
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert random.getstate() == python_state
