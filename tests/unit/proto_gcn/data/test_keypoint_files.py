"""Kinetics: keypoints that are read from separate files when they are needed."""

import os
import pickle
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from devtools.testbed.skeletons import coco_file, kinetics_file, small_config, write
from proto_gcn.data.dataset import EpochSample, Loader, load_splits, make_loader
from proto_gcn.data.files.pickle_file import offset_in_file, read_pickle
from proto_gcn.errors import DataError
from tests.unit.proto_gcn.loader_workers import stopping

OPEN = Path("/proc/self/fd")


def read_all(loader: Loader) -> None:
    with stopping(loader):
        list(loader)


@pytest.fixture
def few_files() -> Iterator[int]:
    """Allow only so many more open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*OPEN.iterdir()]) + 20, hard))
    yield 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def many_files(folder: Path, count: int) -> Path:
    """Write files with one video each."""
    (folder / "kp").mkdir()
    annotations = []
    for number in range(count):
        video = {
            "keypoint": np.full((2, 17, 3), number, np.float16),
            "frame_inds": np.array([0, 3]),
        }
        write(folder / "kp" / f"{number}.pkl", {f"v{number}": video})
        raw = {
            "frame_dir": f"v{number}",
            "label": 0,
            "img_shape": (240, 320),
            "raw_file": f"x/{number}.pkl",
        }
        annotations.append(raw)
    names = [raw["frame_dir"] for raw in annotations]
    return write(
        folder / "k.pkl", {"split": {"train": names, "val": names[:1]}, "annotations": annotations}
    )


def test_no_file_is_kept_open(coco_config: Any, few_files: int, tmp_path: Path) -> None:
    path = many_files(tmp_path, 3 * few_files)
    train = load_splits(small_config(coco_config, kpfiles="kp"), path).train
    assert [float(keypoint.max()) for keypoint in train.samples.keypoints] == list(
        range(3 * few_files)
    )
    assert not [file for file in map(os.path.realpath, OPEN.iterdir()) if file.endswith(".pkl")]
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4"])
def test_every_protocol_and_type_gives_the_same_samples(
    protocol: int, dtype: str, coco_config: Any, tmp_path: Path
) -> None:
    content = coco_file(compressed=True)
    dense = load_splits(small_config(coco_config), write(tmp_path / "c.pkl", content))
    for number, raw in enumerate(content["annotations"]):
        raw["frame_inds"] = raw["frame_inds"].astype([">i2", "<i8", "u1"][number])
        raw["keypoint"] = np.asarray(raw["keypoint"].astype(dtype), order="FC"[number % 2])
    separate = load_splits(
        small_config(coco_config, kpfiles="kp"), kinetics_file(tmp_path, content, protocol)
    )
    for dataset, expected in zip(separate, dense, strict=True):
        for sample in range(len(expected)):
            assert torch.equal(
                dataset[EpochSample(0, 0, sample)][0], expected[EpochSample(0, 0, sample)][0]
            )
    assert [keypoint.shape for keypoint in separate.train.samples.keypoints[:2]] == [
        (2, 3, 17, 3)
    ] * 2


def test_a_file_of_an_old_protocol_can_be_converted(coco_config: Any, tmp_path: Path) -> None:
    config = small_config(coco_config, kpfiles="kp")
    path = kinetics_file(tmp_path, coco_file(compressed=True), protocol=2)
    old = list(load_splits(config, path).train.samples.keypoints)
    for file in (tmp_path / "kp").iterdir():
        file.write_bytes(pickle.dumps(read_pickle(file), protocol=4))
        assert offset_in_file(next(iter(read_pickle(file).values()))["keypoint"]) is not None
    for found, wanted in zip(load_splits(config, path).train.samples.keypoints, old, strict=True):
        assert np.array_equal(found, wanted)


def test_only_detections_that_are_chosen_count(coco_config: Any, tmp_path: Path) -> None:
    content, sure = coco_file(compressed=True), [np.array([True, False] * 3), np.arange(1, 6, 2)]
    for raw, chosen in zip(content["annotations"], sure, strict=False):
        raw["anno_inds"] = chosen
    packed = load_splits(small_config(coco_config), write(tmp_path / "c.pkl", content))
    separate = load_splits(
        small_config(coco_config, kpfiles="kp"), kinetics_file(tmp_path, content)
    )
    assert [keypoint.shape for keypoint in separate.train.samples.keypoints] == [(1, 3, 17, 3)] * 2
    assert len(separate.val.samples.keypoints[0]) == 2  # chooses none, so all count
    for dataset, expected in zip(separate, packed, strict=True):
        for found, wanted in zip(
            dataset.samples.keypoints, expected.samples.keypoints, strict=True
        ):
            assert np.array_equal(found, wanted)


def test_an_error_in_a_keypoint_file_names_file_and_sample(
    coco_config: Any, tmp_path: Path
) -> None:
    config, path = (
        small_config(coco_config, kpfiles="kp"),
        kinetics_file(tmp_path, coco_file(compressed=True)),
    )
    for content, sentence in (
        ({}, r"b\.pkl: sample v1 has no keypoints in this file"),
        ([1], r"b\.pkl: sample v1 has no keypoints in this file"),
        ({"v1": 3}, r"b\.pkl: sample v1 has no keypoints in this file"),
        ({"v1": {}}, r"b\.pkl: sample v1: keypoint must be a float array \[detections, 17, 3\]"),
        (
            {"v1": {"keypoint": np.ones((2, 17, 3))}},
            r"b\.pkl: sample v1: frame_inds must be whole numbers",
        ),
    ):
        write(tmp_path / "kp" / "b.pkl", content)
        with pytest.raises(DataError, match=sentence):
            load_splits(config, path)
    (tmp_path / "kp" / "b.pkl").unlink()
    with pytest.raises(DataError, match=r"cannot read the data file .*b\.pkl: No such file"):
        load_splits(config, path)


def test_a_sample_without_a_file_name_is_named(coco_config: Any, tmp_path: Path) -> None:
    content = coco_file(compressed=True)
    kinetics_file(tmp_path, content)
    for wrong in (None, 3, "", "a\nb"):
        content["annotations"][1]["raw_file"] = wrong
        with pytest.raises(
            DataError, match="sample v1 must name the file of its keypoints as raw_file"
        ) as caught:
            load_splits(small_config(coco_config, kpfiles="kp"), write(tmp_path / "k.pkl", content))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("protocol", "damage", "sentence"),
    [
        (
            4,
            lambda file: file.write_bytes(file.read_bytes()[:-150]),
            "is cut off: the file has become shorter",
        ),
        (4, Path.unlink, "cannot be read: No such file or directory"),
        (
            2,
            lambda file: file.write_bytes(file.read_bytes()[:-150]),
            "the data file .* is damaged or not a pickle",
        ),
        (2, lambda file: write(file, {}, 2), "has no keypoints in this file"),
    ],
)
def test_a_file_damaged_during_the_training_is_reported_with_its_sample(
    protocol: int, damage: Any, sentence: str, workers: int, coco_config: Any, tmp_path: Path
) -> None:
    config = small_config(coco_config, kpfiles="kp", workers_per_gpu=workers)
    train = load_splits(config, kinetics_file(tmp_path, coco_file(compressed=True), protocol)).train
    damage(tmp_path / "kp" / "b.pkl")
    with pytest.raises(DataError, match=rf"kp/b\.pkl: sample v1:? ?{sentence}") as caught:
        read_all(make_loader(train, config.data, seed=None))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_wrong_numbers_are_reported_with_their_sample(
    workers: int, coco_config: Any, tmp_path: Path
) -> None:
    content, config = (
        coco_file(compressed=True),
        small_config(coco_config, kpfiles="kp", workers_per_gpu=workers),
    )
    content["annotations"][1]["frame_inds"] = np.array([0, 0, 2, 2, 5, 4])
    train = load_splits(config, kinetics_file(tmp_path, content)).train
    with pytest.raises(DataError, match=r"^\S*kp/b\.pkl: sample v1: frame_inds must not descend$"):
        read_all(make_loader(train, config.data, seed=None))
