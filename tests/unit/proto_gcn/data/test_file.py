"""The content of a data file, and the errors that name what is wrong in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devtools.testbed.skeletons import small_config, write
from proto_gcn.config.train import TrainConfig
from proto_gcn.data.dataset import EpochSample, load_dataset, load_splits
from proto_gcn.data.transforms import normalise
from proto_gcn.errors import DataError


def test_a_split_is_in_the_order_of_the_annotations(
    config: TrainConfig, made: dict[str, Any], tmp_path: Path
) -> None:
    made["split"]["xsub_train"].reverse()
    train, val = load_splits(config, write(tmp_path / "x.pkl", made))
    assert train.samples.names == made["split"]["xview_train"]
    assert val.samples.labels.tolist() == [0, 1, 2, 3]
    assert np.array_equal(train.samples.keypoints[0], normalise(made["annotations"][0]["keypoint"]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"label": 4},
            r"x\.pkl: sample S001C002P001R001A001 has the label 4;"
            r" it must be a whole number from 0 to 3 \(model\.",
        ),
        ({"label": "1"}, "has the label '1'"),
        ({"label": "1" * 1000}, r"has the label '1+\.\.\.1+'"),
        ({"keypoint": [1]}, r"A001: keypoint must be a float array \[1 or 2, T, 25, 3\]"),
        (
            {"keypoint": np.zeros((3, 5, 25, 3))},
            r"the shape \(3, 5, 25, 3\); it must be \[1 or 2, T, 25, 3\]",
        ),
        ({"keypoint": np.zeros((1, 0, 25, 3))}, r"shape \(1, 0, 25, 3\)"),
        ({"keypoint": np.zeros((1, 5, 17, 2))}, r"shape \(1, 5, 17, 2\)"),
        (
            {"keypoint": np.full((1, 5, 25, 3), np.nan)},
            "A001: keypoint has a value that is not finite",
        ),
        (
            {"keypoint": np.full((1, 5, 25, 3), np.inf, np.float16)},
            "A001: keypoint has a value that is not finite",
        ),
        (
            {"frame_dir": None},
            r"x\.pkl: annotation 0 \(from 0\) must be a dict with a name as frame_dir",
        ),
        ({"frame_dir": "a\nb"}, "annotation 0"),
    ],
)
def test_a_wrong_sample_is_named(
    change: dict[str, Any], sentence: str, config: TrainConfig, made: dict[str, Any], tmp_path: Path
) -> None:
    made["annotations"][0].update(change)
    with pytest.raises(DataError, match=sentence):
        load_splits(config, write(tmp_path / "x.pkl", made))


def test_wrong_splits_and_files_are_named(
    raw_config: dict[str, Any], config: TrainConfig, made: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "x.pkl", made)
    with pytest.raises(
        DataError, match=r"x\.pkl has no split xsub_tran; did you mean xsub_train\?"
    ):
        load_splits(small_config(raw_config, train_split="xsub_tran"), path)
    with pytest.raises(
        DataError,
        match="has no split qqq; its splits are xsub_train, xview_train, xsub_val, xview_val",
    ):
        load_splits(small_config(raw_config, val_split="qqq"), path)
    made["split"][0.5] = []
    with pytest.raises(DataError, match=r"has no split qqq; its splits are .*, xview_val, 0\.5"):
        load_splits(small_config(raw_config, val_split="qqq"), write(path, made))
    made["split"]["xsub_val"] = 3
    with pytest.raises(DataError, match="the split xsub_val must be a list of names"):
        load_splits(config, write(path, made))
    made["split"]["xsub_val"] = [[], 3]
    with pytest.raises(DataError, match="the split xsub_val is empty"):
        load_splits(config, write(path, made))
    with pytest.raises(DataError, match="must hold a dict with the keys split and annotations"):
        load_splits(config, write(path, [1]))
    for content in ({"split": [], "annotations": []}, {"split": {}, "annotations": {}}):
        with pytest.raises(
            DataError, match="split must be a dict of lists of names, annotations a list of dicts"
        ):
            load_splits(config, write(path, content))
    with pytest.raises(DataError, match=r"cannot read the data file .*missing\.pkl: No such file"):
        load_splits(config, tmp_path / "missing.pkl")


def test_a_whole_file_can_be_scored_without_labels(
    config: TrainConfig, made: Any, tmp_path: Path
) -> None:
    for annotation in made["annotations"]:
        del annotation["label"]
    dataset = load_dataset(config, write(tmp_path / "x.pkl", made), None, clips=2, labelled=False)
    assert dataset.samples.names == [a["frame_dir"] for a in made["annotations"]]
    clips, label = dataset[EpochSample(0, 0, 13)]
    assert clips.shape == (2, 2, 8, 25, 3)
    assert label == -1


@pytest.mark.parametrize("dtype", ["<f2", ">f2", ">f4", ">f8"])
@pytest.mark.parametrize("persons", [1, 2])
def test_empty_samples_and_any_byte_order_are_read(
    dtype: str, persons: int, config: TrainConfig, made: Any, tmp_path: Path
) -> None:
    made["annotations"][0]["keypoint"] = np.zeros((persons, 5, 25, 3), dtype)
    made["annotations"][1]["keypoint"] = made["annotations"][1]["keypoint"].astype(dtype)
    train = load_splits(config, write(tmp_path / "x.pkl", made)).train
    assert not train[EpochSample(0, 0, 0)][0].any()
    assert train.samples.keypoints[1].dtype == np.dtype(dtype).newbyteorder("=")
    wanted = normalise(made["annotations"][1]["keypoint"].astype(dtype.replace(">", "<")))
    assert np.array_equal(train.samples.keypoints[1], wanted)
