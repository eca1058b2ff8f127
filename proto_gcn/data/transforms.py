"""What happens to a skeleton between the file and the network.

Arrays are [M persons, T frames, V joints, C coordinates].
Order: normalise, rotate, flip, drop_part, feature, uniform_frames, to_clips. Every random draw comes from an explicit
`Draws`, in the order of the published pipeline, so that the same generators give the same sample.
"""

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LEFT_RIGHT = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 20, 23, 24, 21, 22]
PARTS = [[4, 5, 6, 7, 21, 22], [12, 13, 14, 15], [8, 9, 10, 11, 23, 24], [16, 17, 18, 19]]  # arm, leg: left, then right
BONE_PARENTS = [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11]
K_PARENTS = [20, 1, 2, 20, 4, 20, 4, 5, 8, 20, 8, 9, 1, 0, 12, 13, 1, 0, 16, 17, 20, 7, 6, 11, 10]
BASE_JOINT = 1  # middle of the spine
MAX_PERSONS = 2


@dataclass(frozen=True)
class Draws:
    """The two generators that the published pipeline draws from."""

    numpy: np.random.RandomState
    python: random.Random

    @classmethod
    def seeded(cls, *entropy: int) -> "Draws":
        """Generators that depend on all the numbers given (seed, epoch, sample), whatever was drawn elsewhere."""
        words = np.random.SeedSequence(entropy).generate_state(2)
        return cls(np.random.RandomState(words[0]), random.Random(int(words[1])))


def normalise(keypoint: Array) -> Array:
    """Drops frames without the main person, puts the person seen longer first, centres on the first frame's spine.

    Works in the stored dtype (float16 in NTU files); joints at exactly (0, 0, 0), which means "not seen", stay there.
    """
    if keypoint.sum() == 0:
        return keypoint
    seen: NDArray[np.bool_] = np.any(np.abs(keypoint) > 1e-8, axis=(2, 3))  # [M, T]
    main = 0
    if len(keypoint) == MAX_PERSONS and seen[0].sum() < seen[1].sum():
        main, keypoint = 1, keypoint[::-1]
    keypoint = keypoint[:, seen[main]]
    present = (keypoint != 0).any(axis=-1, keepdims=True)
    return (keypoint - keypoint[0, 0, BASE_JOINT]) * present


def rotate(keypoint: Array, limit: float, draws: Draws) -> Array:
    """Turns the skeleton by three angles from U(-limit, limit) radians about x, y, z; float64 unless all is zero."""
    if not np.any(np.abs(keypoint) > 1e-8):
        return keypoint
    return keypoint @ rotation_matrix(*draws.numpy.uniform(-limit, limit, size=3)).T


def rotation_matrix(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rz Ry Rx for clockwise angles in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin([x, y, z]), np.cos([x, y, z])
    rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    rz = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return rz @ ry @ rx


def flip(keypoint: Array, probability: float, draws: Draws) -> Array:
    """Exchanges left and right joints; coordinates are not mirrored (published quirk)."""
    return keypoint[:, :, LEFT_RIGHT] if draws.python.random() < probability else keypoint


def drop_part(keypoint: Array, probability: float, draws: Draws) -> Array:
    """Zeroes one arm or leg in all frames and persons."""
    if draws.python.random() >= probability:
        return keypoint
    kept = keypoint.copy()
    kept[:, :, PARTS[draws.python.randint(0, 3)]] = 0
    return kept


def feature(keypoint: Array, stream: str) -> Array:
    """The stream j (joints), b (bones) or k (bones over two joints); jm, bm and km are their motion.

    Differences are taken in the dtype of their source; bones are float32, as published.
    """
    base = keypoint
    if stream[0] in "bk":
        parents = BONE_PARENTS if stream[0] == "b" else K_PARENTS
        base = (keypoint - keypoint[:, :, parents]).astype(np.float32)
    return _motion(base) if stream.endswith("m") else base


def _motion(source: Array) -> Array:
    """m[t] = f[t + 1] - f[t], 0 in the last frame."""
    motion = np.zeros_like(source)
    motion[:, :-1] = np.diff(source, axis=1)
    return motion


def uniform_frames(total: int, length: int, clips: int, generator: np.random.RandomState) -> NDArray[np.int64]:
    """Frame numbers [clips * length]: each clip has one frame from each of `length` equal parts of the sequence."""
    return np.concatenate([_clip_frames(total, length, generator) for _ in range(clips)]) % total


def _clip_frames(total: int, length: int, generator: np.random.RandomState) -> NDArray[np.int64]:
    generator.rand()  # the published sampler draws a crop ratio here and then uses 1
    steps = np.arange(length)
    if total < length:
        return generator.randint(0, total) + steps
    if total < 2 * length:
        skipped = np.zeros(length + 1, dtype=np.int64)
        skipped[generator.choice(length + 1, total - length, replace=False)] = 1
        return steps + np.cumsum(skipped)[:-1]
    bounds = np.arange(length + 1) * total // length
    return bounds[:-1] + generator.randint(np.diff(bounds))


def to_clips(frames: Array, persons: int, clips: int) -> NDArray[np.float32]:
    """[M, clips * T, V, C] -> [clips, persons, T, V, C] float32, with zeros for persons who are not there."""
    _, _, joints, coordinates = frames.shape
    padded = np.zeros((persons, *frames.shape[1:]), dtype=np.float32)
    padded[: len(frames)] = frames[:persons]
    return np.ascontiguousarray(padded.reshape(persons, clips, -1, joints, coordinates).swapaxes(0, 1))
