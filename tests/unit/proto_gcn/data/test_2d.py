"""Files of 2-D data: dense, compressed, and with the keypoints in separate files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from devtools.testbed.skeletons import coco_file, kinetics_file, small_config, write
from proto_gcn.data.dataset import EpochSample, load_splits
from proto_gcn.errors import DataError


def test_dense_compressed_and_separate_files_give_the_same_samples(
    coco_config: Any, tmp_path: Path
) -> None:
    dense = load_splits(
        small_config(coco_config), write(tmp_path / "d.pkl", coco_file(compressed=False))
    )
    packed = load_splits(
        small_config(coco_config), write(tmp_path / "c.pkl", coco_file(compressed=True))
    )
    separate = load_splits(
        small_config(coco_config, kpfiles="kp"), kinetics_file(tmp_path, coco_file(compressed=True))
    )
    for splits in (packed, separate):
        for dataset, expected in zip(splits, dense, strict=True):
            assert dataset.samples.names == expected.samples.names
            for sample in range(len(expected)):
                assert torch.equal(
                    dataset[EpochSample(0, 0, sample)][0], expected[EpochSample(0, 0, sample)][0]
                )
    assert dense.val[EpochSample(0, 0, 0)][0].shape == (1, 2, 8, 20, 3)


def test_a_flip_mirrors_within_the_width_of_the_image(coco_config: Any, tmp_path: Path) -> None:
    content = coco_file(compressed=False)
    plain, flipped = (
        load_splits(small_config(coco_config, flip=flip), write(tmp_path / "d.pkl", content)).train
        for flip in (0.0, 1.0)
    )
    first, mirrored = (dataset[EpochSample(0, 0, 0)][0][0, 0, :, 0] for dataset in (plain, flipped))
    assert torch.equal(mirrored[:, 0], 320 - first[:, 0])
    assert torch.equal(mirrored[:, 1:], first[:, 1:])


def test_detections_below_the_threshold_are_left_out_in_training(
    coco_config: Any, tmp_path: Path
) -> None:
    content = coco_file(compressed=True)
    sure = np.array([0.9, 0.4, 0.9, 0.4, 0.9, 0.4])
    for raw, frames in zip(content["annotations"], (6, 2, 1), strict=True):
        raw |= {"box_score": sure, "valid": {0.5: frames}}
    train, val = load_splits(
        small_config(coco_config, valid_ratio=0.5), write(tmp_path / "c.pkl", content)
    )
    assert train.samples.names == ["v0"]  # v1 has 2 of 6 frames
    assert train.samples.keypoints[0].shape == (1, 3, 17, 3)
    assert val.samples.keypoints[0].shape == (2, 3, 17, 3)


@pytest.mark.parametrize(
    ("compressed", "change", "sentence"),
    [
        (False, {"img_shape": None}, r"v0: img_shape must be \(height, width\)"),
        (False, {"keypoint_score": None}, r"v0: keypoint_score must be a float array \[2, 3, 17\]"),
        (
            False,
            {"keypoint": np.zeros((1, 5, 25, 3))},
            r"v0: keypoint has the shape .* must be \[M, T, 17, 2\]",
        ),
        (
            True,
            {"keypoint": np.zeros((6, 17, 2))},
            r"v0: keypoint must be a float array \[detections, 17, 3\]",
        ),
        (
            True,
            {"frame_inds": np.zeros(5, int)},
            "v0: frame_inds must be whole numbers, one for each of the 6",
        ),
        (True, {"frame_inds": np.arange(6)[::-1]}, "v0: frame_inds must not descend"),
        (
            True,
            {"keypoint": np.zeros((0, 17, 3)), "frame_inds": np.zeros(0, int)},
            "v0: it has no detection",
        ),
        (False, {"img_shape": (240, 0)}, "v0: img_shape has the width 0"),
        (
            False,
            {"keypoint_score": np.full((2, 3, 17), np.nan)},
            "v0: keypoint has a value that is not finite",
        ),
        (
            True,
            {"keypoint": np.full((6, 17, 3), 1e6)},
            "v0: keypoint has a value .* too large for float16",
        ),
        (
            True,
            {"anno_inds": np.array([0, 6])},
            "v0: anno_inds must be true or false for each of the 6 detections",
        ),
        (True, {"anno_inds": np.array([2, 1])}, "v0: anno_inds must be"),
        (True, {"anno_inds": [True] * 6}, "v0: anno_inds must be"),
        (True, {"raw_file": "x/a.pkl"}, r"separate files; set data\.kpfiles"),
    ],
)
def test_a_wrong_2d_sample_is_named(
    compressed: bool, change: dict[str, Any], sentence: str, coco_config: Any, tmp_path: Path
) -> None:
    content = coco_file(compressed)
    content["annotations"][0].update(change)
    with pytest.raises(DataError, match=sentence):
        load_splits(small_config(coco_config), write(tmp_path / "x.pkl", content))


def test_missing_boxes_are_named_when_they_are_needed(coco_config: Any, tmp_path: Path) -> None:
    config, content = small_config(coco_config, valid_ratio=0.5), coco_file(compressed=True)
    for change, sentence in (
        ({}, r"valid\[0\.5\] and box_score are needed"),
        (
            {"valid": {0.5: 6}, "box_score": np.ones(5)},
            "anno_inds must be true or false for each of the 6",
        ),
        (
            {"box_score": np.ones(6), "total_frames": 0},
            "total_frames must be the number of frames, at least 1",
        ),
        ({"total_frames": 1000}, r"no sample of the split train passes data\.valid_ratio 0\.5"),
    ):
        for raw in content["annotations"]:
            raw |= change
        with pytest.raises(DataError, match=sentence):
            load_splits(config, write(tmp_path / "c.pkl", content))
