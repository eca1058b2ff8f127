"""The streams j, b, k and their motion, by hand."""

import numpy as np

from devtools.testbed.skeletons import body
from proto_gcn.data import transforms
from proto_gcn.skeleton import COCO, NTU


def test_bones_computed_by_hand() -> None:
    j, b, k = (transforms.bones(body(3), s, NTU) for s in "jbk")
    assert np.array_equal(j, body(3))
    bone = [
        1,
        20,
        20,
        2,
        20,
        4,
        5,
        6,
        20,
        8,
        9,
        10,
        0,
        12,
        13,
        14,
        0,
        16,
        17,
        18,
        20,
        22,
        7,
        24,
        11,
    ]
    over_two = [
        20,
        1,
        2,
        20,
        4,
        20,
        4,
        5,
        8,
        20,
        8,
        9,
        1,
        0,
        12,
        13,
        1,
        0,
        16,
        17,
        20,
        7,
        6,
        11,
        10,
    ]
    assert b[0, 0, :, 0].tolist() == [v - p for v, p in enumerate(bone)]
    assert k[0, 0, :, 0].tolist() == [v - p for v, p in enumerate(over_two)]


def test_bones_of_2d_data_computed_by_hand() -> None:
    keypoint = body(1, joints=20)
    keypoint[..., 2] = np.arange(20)  # the score of joint v is v
    bone = [19, 0, 0, 1, 2, 19, 19, 5, 6, 7, 8, 17, 17, 11, 12, 13, 14, 18, 19, 19]
    over_two = [0, 19, 19, 0, 0, 5, 6, 19, 19, 5, 6, 18, 18, 17, 17, 11, 12, 19, 18, 19]
    b, k = (transforms.bones(keypoint, s, COCO)[0, 0] for s in "bk")
    assert b[:, 0].tolist() == [v - p for v, p in enumerate(bone)]
    assert b[:, 2].tolist() == [(v + p) / 2 for v, p in enumerate(bone)]
    assert k[:, 0].tolist() == [v - p for v, p in enumerate(over_two)]
    assert k[:, 2].tolist() == [v - p for v, p in enumerate(over_two)]  # published quirk
    corrected = transforms.bones(keypoint, "k", COCO, mean_scores=True)[0, 0]
    assert corrected[:, 2].tolist() == [(v + p) / 2 for v, p in enumerate(over_two)]


def test_motion_computed_by_hand() -> None:
    positions = np.array([1, 4, 9], np.float16)[None, :, None, None] * np.ones(
        (1, 1, 2, 3), np.float16
    )
    assert transforms.motion(positions)[0, :, 0].tolist() == [[3, 3, 3], [5, 5, 5], [0, 0, 0]]
    assert transforms.motion(positions, mean_scores=True)[0, :, 0].tolist() == [
        [3, 3, 2.5],
        [5, 5, 6.5],
        [0, 0, 0],
    ]


def test_dtypes_of_streams() -> None:
    half = body(2, dtype=np.float16)
    assert [transforms.bones(half, s, NTU).dtype for s in "jbk"] == [
        np.float16,
        np.float32,
        np.float32,
    ]
    assert transforms.motion(half).dtype == np.float16


def test_bones_are_rounded_in_the_dtype_of_the_joints() -> None:
    half = np.zeros((1, 1, 25, 3), np.float16)
    half[0, 0, 0], half[0, 0, 1] = 2048, 0.5
    assert (
        transforms.bones(half, "b", NTU)[0, 0, 0, 0] == 2048
    )  # 2047.5 lies between two numbers of float16


def test_trunk_joints_computed_by_hand() -> None:
    keypoint = body(2, joints=17)
    trunk = transforms.add_trunk(keypoint)[0, 1, 17:]
    hips, shoulders = (12 + 13) / 2, (6 + 7) / 2
    assert trunk[:, 0].tolist() == [hips, (hips + shoulders) / 2, shoulders]
    assert trunk[:, 1:].tolist() == [[10, 100]] * 3
