"""The fast pipelines equal devtools/reference/pipelines.py bit for bit."""

import itertools
import random
from typing import Any

import numpy as np
import pytest

from devtools.reference import pipelines as reference
from devtools.reference.pipelines import STREAMS
from proto_gcn.config.train import TrainConfig
from proto_gcn.data import transforms
from proto_gcn.data.files.annotations import keypoints
from proto_gcn.data.frame_sampling import Generators
from proto_gcn.data.pipeline import make_pipeline
from proto_gcn.skeleton import COCO, NTU

LENGTHS = (
    1,
    7,
    10,
    15,
    19,
    20,
    33,
)  # of sequences: below, at, above and beyond twice the length of a clip
DTYPES = np.float16, np.float32, np.float64
AUGMENTED = [
    {"rotate": 0.2},
    {"rotate": 3.0},
    {"flip": 0.5},
    {"part_drop": 0.5},
    {"rotate": 0.2, "flip": 0.5, "part_drop": 0.5},
    {"rotate": 0.2, "flip": 0.5, "align_spine": True},
]


def fast(
    sample: dict[str, Any], layout: str, stream: str, clips: int | None, seed: int, **data: Any
) -> Any:
    model = {"backbone": {"graph_cfg": {"layout": layout}}, "cls_head": {"joint_cfg": layout}}
    length = {"clip_len": reference.LENGTH}
    raw = {
        "model": model,
        "modality": stream,
        "data": {"ann_file": "x", "rotate": 0.0} | length | data,
    }
    pipeline = make_pipeline(TrainConfig.model_validate(raw), clips)
    out = np.zeros(pipeline.shape, np.float32)
    skeleton = NTU if layout == "nturgb+d" else COCO
    stored = pipeline.stored(keypoints(sample, skeleton))
    pipeline.fill(out, stored, 320, Generators(np.random.RandomState(seed), random.Random(seed)))
    return out


def moving(persons: int, frames: int, dtype: Any, seed: int) -> Any:
    """Return keypoints with unseen joints; sometimes the second person is seen longer."""
    generator = np.random.default_rng(seed)
    keypoint = generator.normal(2, 1, (persons, frames, 25, 3)).astype(dtype)
    keypoint[generator.random(keypoint.shape[:3]) < 0.05] = 0
    if persons == 2 and frames > 2:
        keypoint[seed % 4 // 2, generator.integers(1, frames)] = 0
    return keypoint


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("clips", [1, 10])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("align", [False, True])
def test_ntu_tests_are_equal_bit_for_bit(stream: str, clips: int, dtype: Any, align: bool) -> None:
    for number, frames in enumerate(LENGTHS):
        keypoint = moving(1 + number % 2, frames, dtype, number)
        expected = reference.solid(keypoint, stream, clips, 0, align_spine=align)
        result = fast({"keypoint": keypoint}, "nturgb+d", stream, clips, seed=4, align_spine=align)
        assert np.array_equal(result, expected)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("augment", AUGMENTED, ids=lambda augment: "+".join(augment))
def test_ntu_training_is_equal_bit_for_bit_given_the_draws(
    stream: str, dtype: Any, augment: dict[str, float]
) -> None:
    for number, frames in enumerate(LENGTHS):
        keypoint = moving(1 + number % 2, frames, dtype, number)
        expected = reference.solid(keypoint, stream, None, number, **augment)
        assert np.array_equal(
            fast({"keypoint": keypoint}, "nturgb+d", stream, None, number, **augment), expected
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_rotations_are_equal_in_float64_before_rounding(dtype: Any) -> None:
    """The float32 result of a whole pipeline would hide most differences."""
    for seed in range(5):
        keypoint = reference.normalised(moving(1 + seed % 2, 9, dtype, seed))
        assert np.array_equal(transforms.normalise(moving(1 + seed % 2, 9, dtype, seed)), keypoint)
        assert np.array_equal(transforms.align(keypoint), reference.aligned(keypoint))
        angles = np.random.default_rng(seed).uniform(-3, 3, 3)
        matrix = transforms.rotation_matrix(*angles)
        assert np.array_equal(matrix, reference.euler(*angles))
        assert np.array_equal(
            transforms.rotate(keypoint, matrix), reference.turned(keypoint, matrix)
        )


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("clips", [None, 1, 10])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_2d_data_are_equal_bit_for_bit(stream: str, clips: int | None, dtype: Any) -> None:
    generator = np.random.default_rng(1)
    for number, frames in enumerate(LENGTHS):
        persons = 1 + number % 3
        keypoint = (300 * generator.random((persons, frames, 17, 2))).astype(dtype)
        keypoint[generator.random(keypoint.shape[:3]) < 0.1] = 0
        scores = generator.random((persons, frames, 17)).astype(dtype)
        sample = {"keypoint": keypoint, "keypoint_score": scores}
        expected = reference.flat(keypoint, scores, stream, clips, number, 0.5)
        assert np.array_equal(fast(sample, "coco_new", stream, clips, number, flip=0.5), expected)


def test_a_second_person_seen_longer_is_the_first_in_the_clip() -> None:
    swapped = moving(2, 12, np.float32, 4)
    swapped[0, 6:] = 0
    result = fast({"keypoint": swapped}, "nturgb+d", "j", 1, 0)
    only = fast({"keypoint": swapped[::-1]}, "nturgb+d", "j", 1, 0)
    assert np.array_equal(result, only)
    assert result[0, 1, 9].max() == 0 != result[0, 0, 9].max()


@pytest.mark.parametrize("dtype", ["<f2", ">f2", ">f4", "<f8"])
@pytest.mark.parametrize("empty", [0, 1e-9], ids=["zero", "nearly zero"])
def test_an_empty_sample_stays_empty_in_every_mode(dtype: str, empty: float) -> None:
    sample = {"keypoint": np.full((2, 5, 25, 3), empty, dtype)}
    for stream, clips, align in itertools.product(STREAMS, (None, 1, 10), (False, True)):
        options = {"rotate": 0.2, "flip": 0.5, "part_drop": 0.5, "align_spine": align}
        assert np.abs(fast(sample, "nturgb+d", stream, clips, 0, **options)).max() <= empty


@pytest.mark.parametrize("clips", [None, 10])
@pytest.mark.parametrize("align", [False, True])
def test_a_sample_whose_coordinates_add_up_to_0_counts_as_empty(
    clips: int | None, align: bool
) -> None:
    """As in the published code the sample is neither centred nor aligned, but it is rotated."""
    keypoint = np.zeros((1, 3, 25, 3), np.float16)
    keypoint[0, :, 1], keypoint[0, :, 8] = (1, -3, 0), (2, 0, 0)
    expected = reference.solid(keypoint, "j", clips, 0, rotate=0.2, align_spine=align)
    assert expected.any()
    assert np.array_equal(
        fast({"keypoint": keypoint}, "nturgb+d", "j", clips, 0, rotate=0.2, align_spine=align),
        expected,
    )


@pytest.mark.parametrize(("big", "native"), [(">f2", "=f2"), (">f4", "=f4"), (">f8", "=f8")])
def test_the_byte_order_of_the_file_changes_no_number(big: str, native: str) -> None:
    for clips, align in itertools.product((None, 10), (False, True)):
        keypoint = moving(2, 12, np.dtype(native), 3)
        results = [
            fast({"keypoint": stored}, "nturgb+d", "bm", clips, 0, rotate=0.2, align_spine=align)
            for stored in (keypoint, keypoint.astype(big))
        ]
        assert np.array_equal(*results)


def test_missing_persons_are_zero_and_num_person_cuts_the_others() -> None:
    keypoint = moving(2, 12, np.float16, 2)
    assert not fast({"keypoint": keypoint[:1]}, "nturgb+d", "b", 10, 0)[:, 1].any()
    both = fast({"keypoint": keypoint}, "nturgb+d", "b", 10, 0)
    assert np.array_equal(
        fast({"keypoint": keypoint}, "nturgb+d", "b", 10, 0, num_person=1), both[:, :1]
    )
    assert fast({"keypoint": keypoint}, "nturgb+d", "b", 10, 0, num_person=3).shape == (
        10,
        3,
        10,
        25,
        3,
    )


def test_float32_is_an_option_and_changes_float16_data() -> None:
    keypoint = moving(1, 12, np.float16, 0)
    wide = fast({"keypoint": keypoint.astype(np.float32)}, "nturgb+d", "b", 1, 0)
    assert np.array_equal(fast({"keypoint": keypoint}, "nturgb+d", "b", 1, 0, float32=True), wide)
    assert not np.array_equal(fast({"keypoint": keypoint}, "nturgb+d", "b", 1, 0), wide)


def test_a_mirrored_flip_negates_x_of_the_published_one() -> None:
    keypoint = moving(1, 12, np.float32, 0)
    flipped, mirrored = (
        fast({"keypoint": keypoint}, "nturgb+d", "j", None, 0, flip=1.0, mirror_flip=mirror)
        for mirror in (False, True)
    )
    assert np.array_equal(mirrored, flipped * [-1, 1, 1])
