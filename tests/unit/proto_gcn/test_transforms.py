import itertools
import math
import random

import numpy as np
import pytest

from proto_gcn.data.transforms import (
    Draws,
    drop_part,
    feature,
    flip,
    normalise,
    rotate,
    rotation_matrix,
    to_clips,
    uniform_frames,
)


def draws(seed: int = 0) -> Draws:
    return Draws(np.random.RandomState(seed), random.Random(seed))


def body(frames: int, persons: int = 1, dtype: type = np.float32) -> np.ndarray:
    """Joint v of person m in frame t stands at (1 + v, 10 t, 100 (m + 1))."""
    keypoint = np.zeros((persons, frames, 25, 3), dtype)
    keypoint[..., 0] = 1 + np.arange(25)
    keypoint[..., 1] = 10 * np.arange(frames)[:, None]
    keypoint[..., 2] = 100 * (1 + np.arange(persons))[:, None, None]
    return keypoint


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


def test_normalise_keeps_the_order_of_persons_seen_equally_long() -> None:
    assert normalise(body(3, persons=2))[1, 0, 1].tolist() == [0, 0, 100]


def test_normalise_works_in_the_stored_dtype_and_leaves_an_empty_sample_alone() -> None:
    assert normalise(body(2, dtype=np.float16)).dtype == np.float16
    assert normalise(np.zeros((2, 3, 25, 3))).shape == (2, 3, 25, 3)


def test_rotation_matrix_by_hand() -> None:
    quarter = math.pi / 2
    assert np.allclose(rotation_matrix(quarter, 0, 0) @ [0, 1, 0], [0, 0, -1])
    assert np.allclose(rotation_matrix(0, quarter, 0) @ [1, 0, 0], [0, 0, 1])
    assert np.allclose(rotation_matrix(0, 0, quarter) @ [1, 0, 0], [0, -1, 0])
    assert np.allclose(rotation_matrix(quarter, 0, quarter) @ [0, 1, 0], [0, 0, -1])  # x is turned first


def test_rotate_draws_three_angles_and_applies_them_to_every_joint() -> None:
    keypoint = body(2, dtype=np.float16)
    result = rotate(keypoint, 0.2, draws(3))
    matrix = rotation_matrix(*np.random.RandomState(3).uniform(-0.2, 0.2, 3))
    assert result.dtype == np.float64
    assert np.allclose(result[0, 1, 4], matrix @ keypoint[0, 1, 4])


def test_rotate_leaves_an_empty_sample_alone_and_draws_nothing() -> None:
    used = draws()
    rotate(np.zeros((1, 2, 25, 3)), 0.2, used)
    assert used.numpy.rand() == np.random.RandomState(0).rand()


def test_flip_exchanges_sides_without_mirroring() -> None:
    flipped = flip(body(1), 1.0, draws())[0, 0, :, 0] - 1
    pairs = {4: 8, 5: 9, 6: 10, 7: 11, 12: 16, 13: 17, 14: 18, 15: 19, 21: 23, 22: 24}
    both = pairs | {right: left for left, right in pairs.items()}
    assert flipped.tolist() == [both.get(v, v) for v in range(25)]
    assert flip(body(1), 0.0, draws())[0, 0, 4, 0] == 5


@pytest.mark.parametrize(
    ("part", "joints"),
    [(0, [4, 5, 6, 7, 21, 22]), (1, [12, 13, 14, 15]), (2, [8, 9, 10, 11, 23, 24]), (3, [16, 17, 18, 19])],
)
def test_drop_part_zeroes_the_drawn_limb(part: int, joints: list[int]) -> None:
    def drawn(seed: int) -> int:
        generator = random.Random(seed)
        generator.random()
        return generator.randint(0, 3)

    seed = next(s for s in range(100) if drawn(s) == part)
    result = drop_part(body(2, persons=2), 1.0, draws(seed))
    assert [v for v in range(25) if not result[:, :, v].any()] == joints
    assert np.array_equal(drop_part(body(1), 0.0, draws()), body(1))


def test_features_by_hand() -> None:
    keypoint = body(3) * np.array([1, 1, 0]) + np.arange(3)[:, None, None] ** 2
    j, b, k = (feature(keypoint, s) for s in "jbk")
    assert np.array_equal(j, keypoint)
    assert b[0, 0, :, 0].tolist() == [
        v - p
        for v, p in enumerate(
            [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11]
        )
    ]
    assert k[0, 0, :, 0].tolist() == [
        v - p
        for v, p in enumerate([20, 1, 2, 20, 4, 20, 4, 5, 8, 20, 8, 9, 1, 0, 12, 13, 1, 0, 16, 17, 20, 7, 6, 11, 10])
    ]
    assert feature(keypoint, "jm")[0, :, 0].tolist() == [[1, 11, 1], [3, 13, 3], [0, 0, 0]]
    assert not feature(keypoint, "bm").any()  # every joint moves alike, so no bone does


def test_dtypes_of_features() -> None:
    half = body(2, dtype=np.float16)
    assert [feature(half, s).dtype for s in ("j", "b", "k")] == [np.float16, np.float32, np.float32]
    assert [feature(half, s).dtype for s in ("jm", "bm", "km")] == [np.float16, np.float32, np.float32]


def test_short_sequences_are_read_in_a_circle() -> None:
    frames = uniform_frames(7, 10, 2, np.random.RandomState(5))
    generator = np.random.RandomState(5)
    for clip in (frames[:10], frames[10:]):
        generator.rand()
        start = generator.randint(0, 7)
        assert clip.tolist() == [(start + i) % 7 for i in range(10)]


def test_medium_sequences_skip_drawn_frames() -> None:
    frames = uniform_frames(14, 10, 1, np.random.RandomState(5))
    generator = np.random.RandomState(5)
    generator.rand()
    skips = set(generator.choice(11, 4, replace=False))
    assert frames.tolist() == [i + sum(s <= i for s in skips) for i in range(10)]


def test_long_sequences_give_one_frame_of_each_part() -> None:
    frames = uniform_frames(27, 10, 1, np.random.RandomState(5))
    generator = np.random.RandomState(5)
    generator.rand()
    bounds = [0, 2, 5, 8, 10, 13, 16, 18, 21, 24, 27]
    inside = generator.randint([b - a for a, b in itertools.pairwise(bounds)])
    assert frames.tolist() == [b + i for b, i in zip(bounds, inside, strict=False)]


@pytest.mark.parametrize("total", [1, 99, 100, 101, 199, 200, 201, 300])
def test_every_length_gives_valid_frames_and_long_ones_ascend(total: int) -> None:
    frames = uniform_frames(total, 100, 3, np.random.RandomState(1)).reshape(3, 100)
    assert frames.min() >= 0
    assert frames.max() < total
    if total >= 100:
        assert (np.diff(frames, axis=1) > 0).all()


def test_clips_are_cut_from_time_and_persons_padded_or_cut() -> None:
    frames = body(6, persons=2)
    clips = to_clips(frames, persons=3, clips=2)
    assert clips.shape == (2, 3, 3, 25, 3)
    assert clips.dtype == np.float32
    assert np.array_equal(clips[1, 1], frames[1, 3:])
    assert not clips[:, 2].any()
    assert np.array_equal(to_clips(frames, persons=1, clips=1)[0, 0], frames[0])


def test_seeded_draws_depend_on_every_number() -> None:
    first = [Draws.seeded(*key).numpy.rand() for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert len(set(first)) == 4
    assert Draws.seeded(0, 1, 2).python.random() == Draws.seeded(0, 1, 2).python.random()
