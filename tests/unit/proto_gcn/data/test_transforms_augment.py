"""The random transforms of training."""

import math
import random

import numpy as np
import pytest

from devtools.testbed.skeletons import body
from proto_gcn.data import transforms
from proto_gcn.data.frame_sampling import Generators


def generators(seed: int = 0) -> Generators:
    return Generators(np.random.RandomState(seed), random.Random(seed))


def test_rotation_matrices_computed_by_hand() -> None:
    quarter, matrix = math.pi / 2, transforms.rotation_matrix
    assert np.allclose(matrix(quarter, 0, 0) @ [0, 1, 0], [0, 0, -1])
    assert np.allclose(matrix(0, quarter, 0) @ [1, 0, 0], [0, 0, 1])
    assert np.allclose(matrix(0, 0, quarter) @ [1, 0, 0], [0, -1, 0])
    assert np.allclose(matrix(quarter, 0, quarter) @ [0, 1, 0], [0, 0, -1])  # x is turned first


def test_rotation_draws_three_angles_and_applies_them_to_every_joint() -> None:
    keypoint = body(2, dtype=np.float16)
    matrix = transforms.draw_rotation(keypoint, 0.2, generators(3))
    assert np.array_equal(
        matrix, transforms.rotation_matrix(*np.random.RandomState(3).uniform(-0.2, 0.2, 3))
    )
    result = transforms.rotate(keypoint, matrix)
    assert result.dtype == np.float64
    assert np.allclose(result[0, 1, 4], matrix @ keypoint[0, 1, 4])


def test_an_empty_sample_is_not_rotated_and_draws_nothing() -> None:
    used = generators()
    assert transforms.draw_rotation(np.full((1, 2, 25, 3), 1e-9), 0.2, used) is None
    assert used.numpy.rand() == np.random.RandomState(0).rand()


def test_a_person_who_appears_late_is_rotated() -> None:
    keypoint = np.zeros((2, 3, 25, 3))
    keypoint[1, 2, 24, 0] = 1
    drawn = transforms.draw_rotation(keypoint, 0.2, generators())
    angles = np.random.RandomState(0).uniform(-0.2, 0.2, 3)
    assert np.array_equal(drawn, transforms.rotation_matrix(*angles))
    assert not np.allclose(drawn, np.eye(3))


def test_flip_exchanges_sides_without_mirroring() -> None:
    flipped = transforms.flip(body(1), 1.0, generators())[0, 0, :, 0] - 1
    pairs = {4: 8, 5: 9, 6: 10, 7: 11, 12: 16, 13: 17, 14: 18, 15: 19, 21: 23, 22: 24}
    both = pairs | {right: left for left, right in pairs.items()}
    assert flipped.tolist() == [both.get(v, v) for v in range(25)]
    assert transforms.flip(body(1), 0.0, generators())[0, 0, 4, 0] == 5


def test_flip_mirrors_x_on_request() -> None:
    flipped = transforms.flip(body(2), 1.0, generators(), mirror=True)
    assert flipped[0, 1, 4].tolist() == [-9, 10, 100]


@pytest.mark.parametrize(
    ("part", "joints"),
    [
        (0, [4, 5, 6, 7, 21, 22]),
        (1, [12, 13, 14, 15]),
        (2, [8, 9, 10, 11, 23, 24]),
        (3, [16, 17, 18, 19]),
    ],
)
def test_drop_part_zeroes_the_drawn_limb(part: int, joints: list[int]) -> None:
    def drawn(seed: int) -> int:
        generator = random.Random(seed)
        generator.random()
        return generator.randint(0, 3)

    seed = next(s for s in range(100) if drawn(s) == part)
    result = transforms.drop_part(body(2, persons=2), 1.0, generators(seed))
    assert [v for v in range(25) if not result[:, :, v].any()] == joints
    assert np.array_equal(transforms.drop_part(body(1), 0.0, generators()), body(1))


def test_flip_image_mirrors_what_is_seen_and_exchanges_sides() -> None:
    keypoint = body(1, joints=17)
    keypoint[0, 0, 5, 0] = 0
    flipped = transforms.flip_image(keypoint, 320, 1.0, generators())[0, 0]
    assert flipped[0].tolist() == [319, 0, 100]
    assert flipped[1].tolist() == [320 - 3, 0, 100]  # was joint 2
    assert flipped[6].tolist() == [0, 0, 100]  # was joint 5, not seen
    assert [320 - x for x in flipped[[15, 16], 0]] == [17, 16]
    assert transforms.flip_image(keypoint, 320, 0.0, generators()) is keypoint
