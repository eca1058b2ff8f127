"""The published pipelines (github.com/firework8/ProtoGCN), joint by joint and number by number.

Every transform sees the whole sequence, in the published order. Numbers are rounded where the
published ones are: scalars of the named dtype, one operation after the other. numpy computes sines,
norms and the products of two 3 x 3 matrices or of two vectors, because its own libraries decide
their last bit (docs/trainer-data.md).
"""

import itertools
import random
from typing import Any

import numpy as np

STREAMS = ("j", "b", "k", "jm", "bm", "km")
LENGTH = 10  # frames of a clip here
NTU_FLIPPED = [
    0,
    1,
    2,
    3,
    8,
    9,
    10,
    11,
    4,
    5,
    6,
    7,
    16,
    17,
    18,
    19,
    12,
    13,
    14,
    15,
    20,
    23,
    24,
    21,
    22,
]
COCO_FLIPPED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
PARTS = [[4, 5, 6, 7, 21, 22], [12, 13, 14, 15], [8, 9, 10, 11, 23, 24], [16, 17, 18, 19]]
NTU_PARENTS = {
    "b": [1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11],
    "k": [20, 1, 2, 20, 4, 20, 4, 5, 8, 20, 8, 9, 1, 0, 12, 13, 1, 0, 16, 17, 20, 7, 6, 11, 10],
}
COCO_PARENTS = {
    "b": [19, 0, 0, 1, 2, 19, 19, 5, 6, 7, 8, 17, 17, 11, 12, 13, 14, 18, 19, 19],
    "k": [0, 19, 19, 0, 0, 5, 6, 19, 19, 5, 6, 18, 18, 17, 17, 11, 12, 19, 18, 19],
}


def solid(keypoint: Any, stream: str, clips: int | None, seed: int, **augment: float) -> Any:
    """3-D, [M, T, 25, 3] -> clips [n, 2, LENGTH, 25, 3] float32; clips None: training."""
    drawn, python = np.random.RandomState(seed), random.Random(seed)
    moved = normalised(keypoint, bool(augment.get("align_spine")))
    if clips is None:
        moved = augmented(moved, drawn, python, **augment)
    else:
        drawn = np.random.RandomState(255)
    sequence = stream_of(moved, stream, NTU_PARENTS).astype(np.float32)
    return cut(sequence, frames_of(sequence.shape[1], LENGTH, clips or 1, drawn), clips or 1)


def augmented(keypoint: Any, drawn: Any, python: Any, **augment: float) -> Any:
    if (limit := augment.get("rotate", 0)) and np.abs(keypoint).max() > 1e-8:
        keypoint = turned(keypoint, euler(*drawn.uniform(-limit, limit, 3)))
    if (chance := augment.get("flip", 0)) and python.random() < chance:
        keypoint = keypoint[:, :, NTU_FLIPPED]
    if (chance := augment.get("part_drop", 0)) and python.random() < chance:
        keypoint = keypoint.copy()
        keypoint[:, :, PARTS[python.randint(0, 3)]] = 0
    return keypoint


def normalised(keypoint: Any, align: bool = False) -> Any:
    """In the dtype of the file, until it is aligned."""
    with np.errstate(over="ignore"):
        if keypoint.sum() == 0:
            return keypoint
    seen = [
        [t for t, pose in enumerate(person) if not np.isclose(pose, 0, rtol=0).all()]
        for person in keypoint
    ]
    main = 1 if len(keypoint) == 2 and len(seen[0]) < len(seen[1]) else 0
    persons = keypoint[[1, 0]] if main else keypoint
    kept = persons[:, seen[main]].copy()
    centre = kept[0, 0, 1].copy()
    for place in np.ndindex(kept.shape[:3]):
        if kept[place].any():
            for c in range(3):
                kept[place][c] = kept[place][c] - centre[c]
    return aligned(kept) if align else kept


def aligned(keypoint: Any) -> Any:
    for start, end, target in ((0, 1, (0, 0, 1)), (4, 8, (1, 0, 0))):
        keypoint = turned(keypoint, turn_to(keypoint[0, 0, end] - keypoint[0, 0, start], target))
    return keypoint


def turn_to(vector: Any, target: tuple[int, int, int]) -> Any:
    """Euler's parameters e0 = cos(angle / 2), e = axis sin(angle / 2), entry by entry."""
    axis = np.cross(vector, target)
    angle = (
        np.arccos(np.clip(np.dot(vector / np.linalg.norm(vector), target), -1, 1))
        if vector.any()
        else 0.0
    )
    if np.abs(vector).sum() < 1e-6 or np.abs(axis).sum() < 1e-6 or angle < 1e-6:
        return np.eye(3)
    e0, e = np.cos(angle / 2), axis / np.sqrt(np.dot(axis, axis)) * np.sin(angle / 2)
    matrix = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        if i == j:
            one, two = (c for c in range(3) if c != i)
            matrix[i, i] = e0 * e0 + e[i] * e[i] - e[one] * e[one] - e[two] * e[two]
        else:
            third, backward = 3 - i - j, (j - i) % 3 == 1
            matrix[i, j] = (
                2 * (e[i] * e[j] - e0 * e[third]) if backward else 2 * (e[i] * e[j] + e0 * e[third])
            )
    return matrix


def euler(x: float, y: float, z: float) -> Any:
    """Rz (Ry Rx)."""
    rx, ry, rz = np.eye(3), np.eye(3), np.eye(3)
    rx[1, 1], rx[1, 2], rx[2, 1], rx[2, 2] = np.cos(x), np.sin(x), -np.sin(x), np.cos(x)
    ry[0, 0], ry[0, 2], ry[2, 0], ry[2, 2] = np.cos(y), -np.sin(y), np.sin(y), np.cos(y)
    rz[0, 0], rz[0, 1], rz[1, 0], rz[1, 1] = np.cos(z), np.sin(z), -np.sin(z), np.cos(z)
    return np.dot(rz, np.dot(ry, rx))


def turned(keypoint: Any, matrix: Any) -> Any:
    """float64; of the three products of a row the middle one is added last."""
    result = np.zeros(keypoint.shape)
    rows = matrix.tolist()
    for place in np.ndindex(keypoint.shape[:3]):
        x, y, z = keypoint[place].tolist()  # Python's floats are float64
        result[place] = [(row[0] * x + row[2] * z) + row[1] * y for row in rows]
    return result


def stream_of(keypoint: Any, stream: str, parents: dict[str, list[int]]) -> Any:
    """Differences in the dtype of the keypoints."""
    result = keypoint
    if stream[0] in "bk":
        result = np.zeros(keypoint.shape, np.float32)
        for m, t, v in np.ndindex(keypoint.shape[:3]):
            other = keypoint[m, t, parents[stream[0]][v]]
            result[m, t, v] = keypoint[m, t, v] - other
            if stream[0] == "b" and parents is COCO_PARENTS:
                result[m, t, v, 2] = (keypoint[m, t, v, 2] + other[2]) / 2
    if not stream.endswith("m"):
        return result
    motion = np.zeros_like(result)
    for t in range(result.shape[1] - 1):
        motion[:, t] = result[:, t + 1] - result[:, t]
    return motion


def flat(keypoint: Any, scores: Any, stream: str, clips: int | None, seed: int, flip: float) -> Any:
    """2-D, [M, T, 17, 2] and [M, T, 17] -> clips [n, 2, LENGTH, 20, 3] float32."""
    drawn = np.random.RandomState(seed if clips is None else 255)
    frames = frames_of(keypoint.shape[1], LENGTH, clips or 1, drawn, even_starts=clips is not None)
    chosen = np.concatenate([keypoint, scores[..., None]], -1)[:2, frames].astype(np.float32)
    if clips is None and flip and drawn.rand() < flip:
        for place in np.ndindex(chosen.shape[:3]):
            if chosen[place][0] != 0:
                chosen[place][0] = 320 - chosen[place][0]
        chosen = chosen[:, :, COCO_FLIPPED]
    joints = np.zeros((*chosen.shape[:2], 20, 3), np.float32)
    joints[:, :, :17] = chosen
    joints[:, :, 17] = (chosen[:, :, 11] + chosen[:, :, 12]) / 2
    joints[:, :, 19] = (chosen[:, :, 5] + chosen[:, :, 6]) / 2
    joints[:, :, 18] = (joints[:, :, 17] + joints[:, :, 19]) / 2
    return cut(
        stream_of(joints, stream, COCO_PARENTS), list(range(LENGTH * (clips or 1))), clips or 1
    )


def frames_of(
    total: int, length: int, clips: int, drawn: Any, even_starts: bool = False
) -> list[int]:
    """Return the sampling; `drawn` is a RandomState, or numpy.random with its global generator."""
    frames: list[int] = []
    for clip in range(clips):
        drawn.rand()
        if total < length:
            even = clip if total < clips else clip * total // clips
            start = even if even_starts else drawn.randint(0, total)
            frames += [(start + i) % total for i in range(length)]
        elif total < 2 * length:
            skipped = set(drawn.choice(length + 1, total - length, replace=False).tolist())
            frames += [i + sum(s in skipped for s in range(i + 1)) for i in range(length)]
        else:
            bounds = [i * total // length for i in range(length + 1)]
            inside = drawn.randint(np.array([bounds[i + 1] - bounds[i] for i in range(length)]))
            frames += [bounds[i] + int(inside[i]) for i in range(length)]
    return frames


def cut(sequence: Any, frames: list[int], clips: int) -> Any:
    """[M, T, V, C] -> [clips, 2, LENGTH, V, C]: persons beyond two go, absent ones are 0."""
    out = np.zeros((clips, 2, LENGTH, *sequence.shape[2:]), np.float32)
    for (clip, place), m in itertools.product(
        np.ndindex(clips, LENGTH), range(min(2, len(sequence)))
    ):
        out[clip, m, place] = sequence[m, frames[clip * LENGTH + place]]
    return out
