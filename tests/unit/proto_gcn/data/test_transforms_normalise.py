"""The transforms that are applied once to a stored 3-D sample."""

import math

import numpy as np
import pytest

from devtools.testbed.skeletons import body
from proto_gcn.data.transforms import align, normalise


def test_normalise_centres_on_joint_1_of_the_first_frame_and_keeps_zero_joints() -> None:
    keypoint = body(2)
    keypoint[0, 1, 7] = 0
    result = normalise(keypoint)
    assert result[0, 0, 1].tolist() == [0, 0, 0]
    assert result[0, 1, 3].tolist() == [2, 10, 0]
    assert result[0, 1, 7].tolist() == [0, 0, 0]


def test_normalise_drops_frames_without_the_main_person() -> None:
    keypoint = body(4)
    keypoint[0, [0, 2]] = 0
    result = normalise(keypoint)
    assert result.shape[1] == 2
    assert result[0, 1, 1].tolist() == [0, 20, 0]  # frame 3 seen from frame 1


def test_normalise_puts_the_person_seen_longer_first() -> None:
    keypoint = body(3, persons=2)
    keypoint[0, 1:] = 0
    result = normalise(keypoint)
    assert result.shape == (2, 3, 25, 3)
    assert result[0, 2, 1].tolist() == [0, 20, 0]  # the former second person, at z = 200
    assert result[1, 0, 1].tolist() == [0, 0, -100]
    assert not result[1, 1:].any()


def test_normalise_drops_frames_of_the_second_person_alone() -> None:
    keypoint = body(3, persons=2)
    keypoint[0, 1] = keypoint[1, 0] = 0
    result = normalise(keypoint)
    assert result.shape[1] == 2
    assert result[:, :, 1].tolist() == [[[0, 0, 0], [0, 20, 0]], [[0, 0, 0], [0, 20, 100]]]


def test_normalise_keeps_the_order_of_persons_seen_equally_long() -> None:
    assert normalise(body(3, persons=2))[1, 0, 1].tolist() == [0, 0, 100]


def test_normalise_works_in_the_stored_dtype() -> None:
    keypoint = np.full((1, 1, 25, 3), 2.0, np.float16)
    keypoint[0, 0, 1], keypoint[0, 0, 2] = 0.1, 1.2
    result = normalise(keypoint)
    assert result.dtype == np.float16
    # In float16, 1.2 and 0.1 are 1.2001953125 and 0.0999755859375; their difference is rounded to
    # a step of 2^-10.
    assert result[0, 0, 2].tolist() == [1.099609375 + 2**-10] * 3 == [1.1005859375] * 3


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_normalise_leaves_an_empty_sample_alone(dtype: type) -> None:
    keypoint = np.zeros((2, 3, 25, 3), dtype)
    assert normalise(keypoint) is keypoint


def test_a_sum_beyond_float16_is_not_zero() -> None:
    with np.errstate(all="raise"):
        assert normalise(np.full((1, 300, 25, 3), 10, np.float16)).shape == (1, 300, 25, 3)


def test_align_turns_the_spine_up_and_the_shoulders_to_the_side() -> None:
    keypoint = np.zeros((1, 2, 25, 3))
    keypoint[0, :, 1] = 0, 2, 0  # spine along y
    keypoint[0, :, 4], keypoint[0, :, 8] = (0, 1, 0), (0, 1, 3)  # from 4 to 8: along z
    keypoint[0, 1, 3] = 5, 0, 0
    result = align(keypoint)
    # By hand: y -> z is a quarter turn about x, after which z points to -y; -y -> x is a quarter
    # turn about z.
    assert np.allclose(result[0, 0, 1], [0, 0, 2])
    assert np.allclose(result[0, 0, 8] - result[0, 0, 4], [3, 0, 0])
    assert np.allclose(result[0, 1, 3], [0, 5, 0])
    assert result.dtype == np.float64


@pytest.mark.parametrize("spine", [(0, 0, 2), (0, 0, -2), (0, 0, 0)])
def test_align_changes_nothing_without_an_axis(spine: tuple[int, int, int]) -> None:
    keypoint = np.zeros((1, 1, 25, 3))
    keypoint[0, 0, 1], keypoint[0, 0, 8] = spine, (1, 0, 0)
    assert np.array_equal(align(keypoint), keypoint)


def test_align_has_the_rounding_of_float16() -> None:
    """The first unit vector has the dtype of the keypoints; joint 2 shows the resulting angle."""
    keypoint = np.zeros((1, 1, 25, 3), np.float16)
    keypoint[0, 0, 1], keypoint[0, 0, 2] = (1, 0, 1.5), (0, 0, 1)
    cosine = float(np.float16(1.5) / np.linalg.norm(keypoint[0, 0, 1]))
    turned = align(keypoint)[0, 0, 2]
    assert abs(turned[2] - cosine) < 1e-12 < 1e-6 < abs(cosine - 1.5 / math.sqrt(3.25))
