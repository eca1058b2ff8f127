"""This module has one function for each transform of the published data pipelines.

Arrays are [M persons, T frames, V joints, C coordinates]. A transform that is random takes the
generators as an argument.
"""

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array
from proto_gcn.data.frame_sampling import Generators
from proto_gcn.skeleton import COCO, NTU, NTU_PARTS, Skeleton

PRESENT = 1e-8  # smaller values count as 0, as in numpy's isclose


def normalise(keypoint: Array, origin: int = NTU.origin) -> Array:
    """Drop frames without the main person, order the persons and centre the skeleton.

    The person seen in most frames comes first. The origin is that person's joint `origin` in the
    first frame. The dtype is kept (float16 in NTU files). A joint at exactly (0, 0, 0) was not seen
    and stays there. If the coordinates add up to 0 or nobody is seen, the argument itself is
    returned, as in the published code.
    """
    with np.errstate(over="ignore"):  # a float16 sum may overflow to infinity, which is not 0
        if keypoint.sum() == 0:
            return keypoint
    seen: NDArray[np.bool_] = np.any(np.abs(keypoint) > PRESENT, axis=(2, 3))  # [M, T]
    if not seen.any():
        return keypoint
    order = np.argsort(-seen.sum(axis=1), kind="stable")
    keypoint = keypoint[order][:, seen[order[0]]]
    centred = keypoint - keypoint[0, 0, origin]
    centred[~keypoint.any(axis=-1)] = 0
    return centred


def align(keypoint: Array) -> Array:
    """Rotate the first frame's spine (joint 0 to 1) to +z, then its shoulders (4 to 8) to +x.

    The result is float64.
    """
    for start, end, target in ((0, 1, (0, 0, 1)), (4, 8, (1, 0, 0))):
        vector = keypoint[0, 0, end] - keypoint[0, 0, start]
        keypoint = rotate(keypoint, _rotation_to(vector, target))
    return keypoint


def _rotation_to(vector: Array, target: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the rotation about vector x target by the angle between them.

    The angle has the precision of the vector's dtype.
    """
    axis = np.cross(vector, target)
    if np.abs(vector).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = np.arccos(np.clip(np.dot(vector / np.linalg.norm(vector), target), -1.0, 1.0))
    if abs(angle) < 1e-6:
        return np.eye(3)
    return _about(axis / np.sqrt(np.dot(axis, axis)), angle)


def _about(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the rotation about a unit axis by the Euler-Rodrigues formula.

    With w = cos(angle / 2) and v = axis sin(angle / 2) it is (w^2 - v.v) I + 2 v v' + 2 w [v]x.
    """
    w, v = np.cos(angle / 2), axis * np.sin(angle / 2)
    matrix = 2 * (np.outer(v, v) + w * np.cross(np.eye(3), v))
    square = v * v
    # The published rotation computes the diagonal from squares; otherwise the last bit differs.
    matrix[np.diag_indices(3)] = w * w + square - square[[1, 0, 0]] - square[[2, 2, 1]]
    return matrix


def draw_rotation(
    keypoint: Array, limit: float, generators: Generators
) -> NDArray[np.float64] | None:
    """Return the matrix of three angles about x, y, z, each from U(-limit, limit) radians.

    For an empty sample return None and draw nothing.
    """
    if is_empty(keypoint):
        return None
    return rotation_matrix(*generators.numpy.uniform(-limit, limit, size=3))


def is_empty(keypoint: Array) -> bool:
    """Return whether nobody is seen in any frame."""
    first = keypoint[:1, :1]  # this small part nearly always decides
    return not (np.abs(first) > PRESENT).any() and not (np.abs(keypoint) > PRESENT).any()


def rotation_matrix(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Return Rz Ry Rx for clockwise angles in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin([x, y, z]), np.cos([x, y, z])
    rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    rz = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return rz @ (ry @ rx)


def rotate(keypoint: Array, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x' = R x for every joint."""
    x, y, z = np.ascontiguousarray(keypoint.reshape(-1, 3).T, dtype=np.float64)
    column = matrix.T
    # This order of products and sums gives the bits of the published code (docs/trainer-data.md).
    rotated = np.outer(column[0], x) + np.outer(column[2], z) + np.outer(column[1], y)
    return np.ascontiguousarray(rotated.T).reshape(keypoint.shape)


def flip(
    keypoint: Array,
    probability: float,
    generators: Generators,
    mirror: bool = False,
    skeleton: Skeleton = NTU,
) -> Array:
    """Exchange the left and the right joints.

    As in the published code the coordinates are not mirrored; `mirror` negates x.
    """
    if generators.python.random() >= probability:
        return keypoint
    flipped = keypoint.take(skeleton.left_right, axis=2)
    if mirror:
        flipped[..., 0] *= -1
    return flipped


def drop_part(keypoint: Array, probability: float, generators: Generators) -> Array:
    """Set one random arm or leg to zero in all frames and persons."""
    if generators.python.random() >= probability:
        return keypoint
    kept = keypoint.copy()
    kept[:, :, NTU_PARTS[generators.python.randint(0, 3)]] = 0
    return kept


def flip_image(
    keypoint: Array,
    width: int,
    probability: float,
    generators: Generators,
    skeleton: Skeleton = COCO,
) -> Array:
    """Mirror x in an image of `width` pixels and exchange left and right.

    A joint with x = 0 was not seen and stays there.
    """
    if generators.numpy.rand() >= probability:
        return keypoint
    flipped = keypoint.take(skeleton.left_right, axis=2)
    x = flipped[..., 0]
    flipped[..., 0] = np.where(x != 0, np.float32(width) - x, x)
    return flipped


def add_trunk(keypoint: Array) -> NDArray[np.float32]:
    """Add three joints to COCO's 17.

    17 is between the hips, 19 between the shoulders and 18 between those two.
    """
    hips, shoulders = ((keypoint[:, :, v] + keypoint[:, :, v + 1]) / 2 for v in (11, 5))
    added = np.stack([hips, (hips + shoulders) / 2, shoulders], axis=2)
    return np.concatenate([keypoint, added], axis=2).astype(np.float32)


def bones(keypoint: Array, stream: str, skeleton: Skeleton, mean_scores: bool = False) -> Array:
    """Return the stream j (the joints), b (minus the parent) or k (minus the grandparent).

    The difference is taken in the dtype of the keypoints and returned as float32. For 2-D scores, b
    takes the mean; k subtracts them, as in the published code, unless `mean_scores` is true.
    """
    if stream[0] == "j":
        return keypoint
    other = keypoint.take(skeleton.subtracted(stream), axis=2)
    result = (keypoint - other).astype(np.float32)
    if skeleton.dimensions == 2 and (stream[0] == "b" or mean_scores):
        result[..., 2] = (keypoint[..., 2] + other[..., 2]) / 2
    return result


def motion(source: Array, mean_scores: bool = False) -> Array:
    """Return m[t] = f[t + 1] - f[t], with 0 in the last frame.

    2-D scores are subtracted too, as in the published code, unless `mean_scores` is true.
    """
    result = np.zeros_like(source)
    result[:, :-1] = source[:, 1:] - source[:, :-1]
    if mean_scores:
        result[:, :-1, :, 2] = (source[:, 1:, :, 2] + source[:, :-1, :, 2]) / 2
    return result


def to_clips(frames: Array, out: NDArray[np.float32]) -> None:
    """Copy [M, clips * T, V, C] into out [clips, persons, T, V, C]; absent persons stay zero."""
    clips, persons, length = out.shape[:3]
    kept = frames[:persons]
    out[:, : len(kept)] = kept.reshape(len(kept), clips, length, *frames.shape[2:]).swapaxes(0, 1)
