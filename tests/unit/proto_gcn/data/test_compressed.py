"""Kinetics' compressed poses: detections with the numbers of their frames."""

from typing import Any

import numpy as np
import pytest

from proto_gcn.data.files.annotations import keypoints
from proto_gcn.data.files.compressed import decompress
from proto_gcn.errors import DataError
from proto_gcn.skeleton import COCO


def detections(count: int) -> Any:
    """Detection d: every joint at (d, 10 d), with the score d / 64."""
    d = np.arange(count, dtype=np.float16)
    return np.stack(
        [np.broadcast_to(c[:, None], (count, 17)) for c in (d, 10 * d, d / 64)], axis=-1
    )


def test_an_example_decompressed_by_hand() -> None:
    poses = decompress(detections(5), np.array([3, 3, 7, 8, 8]))
    assert poses.shape == (2, 3, 17, 3)
    assert poses.dtype == np.float16
    assert poses[:, :, 0, 0].tolist() == [[0, 2, 3], [1, 0, 4]]
    assert poses[1, 2, 16].tolist() == [4, 40, 4 / 64]


def test_only_chosen_detections_count() -> None:
    chosen = np.array([False, True, False, True, False])
    poses = decompress(detections(5), np.array([3, 3, 7, 8, 8]), chosen)
    assert poses[..., 0, 0].tolist() == [[1, 3]]
    with pytest.raises(DataError, match="no detection that counts"):
        decompress(detections(2), np.array([0, 0]), np.array([False, False]))
    with pytest.raises(DataError, match="must not descend"):
        decompress(detections(2), np.array([1, 0]))


def test_more_than_ten_persons_are_cut_to_the_best_in_every_frame() -> None:
    poses = decompress(detections(15), np.array([0] * 12 + [1] * 3))
    assert len(poses) == 10
    assert poses[:, 0, 0, 0].tolist() == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert poses[:, 1, 0, 0].tolist() == [14, 13, 12, 0, 0, 0, 0, 0, 0, 0]


def test_ten_persons_stay_in_the_order_of_the_file() -> None:
    assert decompress(detections(10), np.zeros(10, int))[:, 0, 0, 0].tolist() == list(range(10))


def test_a_compressed_sample_equals_its_dense_form() -> None:
    frames = np.array([2, 2, 5, 9, 9])
    dense = decompress(detections(5), frames)
    packed = {"keypoint": detections(5), "frame_inds": frames}
    unpacked = {"keypoint": dense[..., :2], "keypoint_score": dense[..., 2]}
    assert np.array_equal(*(keypoints(sample, COCO) for sample in (packed, unpacked)))
