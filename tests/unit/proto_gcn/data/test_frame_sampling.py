"""The random generators and the sampling of frames."""

from typing import Any

import numpy as np
import pytest

from devtools.reference.pipelines import frames_of
from devtools.testbed.skeletons import body
from proto_gcn.data import transforms
from proto_gcn.data.frame_sampling import Generators, seeded_frames, uniform_frames


def test_short_sequences_are_repeated() -> None:
    frames = uniform_frames(7, 10, 2, np.random.RandomState(5))
    generator = np.random.RandomState(5)
    for clip in (frames[:10], frames[10:]):
        generator.rand()
        start = generator.randint(0, 7)
        assert clip.tolist() == [(start + i) % 7 for i in range(10)]


class Scripted:
    """A generator with given draws; the expected frames were computed by hand."""

    def __init__(self, start: int = 0, skipped: Any = (), inside: Any = ()) -> None:
        self.start = start
        self.skipped = list(skipped)
        self.inside = np.array(inside)

    def rand(self) -> float:
        return 0.5

    def randint(self, low: Any, high: int | None = None) -> Any:
        if high is not None:
            assert (low, high) == (0, 3)
            return self.start
        assert low.tolist() == [2, 2, 3, 2, 3]  # bounds 0 2 4 7 9 12
        return self.inside

    def choice(self, among: int, count: int, replace: bool) -> Any:
        assert (among, count, replace) == (6, len(self.skipped), False)
        return self.skipped


@pytest.mark.parametrize(
    ("total", "generator", "frames"),
    [
        (3, Scripted(start=2), [2, 0, 1, 2, 0]),
        (5, Scripted(), [0, 1, 2, 3, 4]),
        (7, Scripted(skipped=[1, 4]), [0, 2, 3, 4, 6]),
        (7, Scripted(skipped=[0, 5]), [1, 2, 3, 4, 5]),
        (9, Scripted(skipped=[0, 1, 2, 3]), [1, 3, 5, 7, 8]),
        (12, Scripted(inside=[1, 0, 2, 1, 0]), [1, 2, 6, 8, 9]),
    ],
)
def test_five_frames_computed_by_hand(total: int, generator: Any, frames: list[int]) -> None:
    assert uniform_frames(total, 5, 1, generator).tolist() == frames


@pytest.mark.parametrize(("total", "starts"), [(7, [0, 2, 4]), (3, [0, 1, 2]), (2, [0, 1, 0])])
def test_short_2d_sequences_start_evenly_in_a_test(total: int, starts: list[int]) -> None:
    frames = uniform_frames(total, 10, 3, np.random.RandomState(0), even_starts=True).reshape(3, 10)
    assert frames.tolist() == [[(start + i) % total for i in range(10)] for start in starts]


@pytest.mark.parametrize("total", [1, 99, 100, 101, 199, 200, 201, 300])
def test_every_length_gives_valid_frames_and_long_ones_ascend(total: int) -> None:
    frames = uniform_frames(total, 100, 3, np.random.RandomState(1)).reshape(3, 100)
    assert frames.min() >= 0
    assert frames.max() < total
    if total >= 100:
        assert (np.diff(frames, axis=1) > 0).all()


@pytest.mark.parametrize("total", [1, 50, 99, 100, 150, 199, 200, 201, 300])
def test_an_evaluation_draws_its_clips_from_the_seed(total: int) -> None:
    state = np.random.get_state()
    try:
        np.random.seed(255)
        expected = frames_of(total, 100, 10, np.random)
    finally:
        np.random.set_state(state)
    assert seeded_frames(total, 100, 10, 255, False).tolist() == expected


def test_clips_are_cut_from_time_and_persons_padded_or_cut() -> None:
    frames = body(6, persons=2)
    out = np.zeros((2, 3, 3, 25, 3), np.float32)
    transforms.to_clips(frames, out)
    assert np.array_equal(out[1, 1], frames[1, 3:])
    assert not out[:, 2].any()
    one = np.zeros((1, 1, 6, 25, 3), np.float32)
    transforms.to_clips(frames, one)
    assert np.array_equal(one[0, 0], frames[0])


def test_reseeded_generators_depend_on_the_seed_alone() -> None:
    used = Generators()
    first = [used.reseed(*key).numpy.rand() for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))]
    assert len(set(first)) == 4
    assert Generators().reseed(0, 1, 2).python.random() == used.reseed(0, 1, 2).python.random()
