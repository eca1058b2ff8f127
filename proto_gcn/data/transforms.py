"""What happens to a skeleton between the file and the network, one function per published transform.

Arrays are [M persons, T frames, V joints, C coordinates]. Where a transform draws, it is given the generators.
"""

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array
from proto_gcn.data.draws import Draws
from proto_gcn.skeleton import COCO, NTU, NTU_PARTS, Skeleton

PRESENT = 1e-8  # what lies nearer to 0 counts as 0 (numpy's isclose)


def normalise(keypoint: Array, origin: int = NTU.origin) -> Array:
    """Drops frames without the main person, puts the persons seen longest first, centres on the first frame's origin.

    Works in the stored dtype (float16 in NTU files); joints at exactly (0, 0, 0), which means "not seen", stay there.
    Returns its very argument where the coordinates add up to 0 or nobody is seen.
    """
    with np.errstate(over="ignore"):  # float16 ends at 65,504, and infinity is not 0 either
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
    """Turns the first frame's spine (joint 0 to 1) to +z, then its shoulders (joint 4 to 8) to +x; float64."""
    for start, end, target in ((0, 1, (0, 0, 1)), (4, 8, (1, 0, 0))):
        vector = keypoint[0, 0, end] - keypoint[0, 0, start]
        keypoint = rotate(keypoint, _turn_to(vector, target))
    return keypoint


def _turn_to(vector: Array, target: tuple[int, int, int]) -> NDArray[np.float64]:
    """The rotation about vector x target by the angle between them; angles carry the rounding of the vector's dtype."""
    axis = np.cross(vector, target)
    if np.abs(vector).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = np.arccos(np.clip(np.dot(vector / np.linalg.norm(vector), target), -1.0, 1.0))
    if abs(angle) < 1e-6:
        return np.eye(3)
    return _about(axis / np.sqrt(np.dot(axis, axis)), angle)


def _about(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """The Euler-Rodrigues formula: (w^2 - v.v) I + 2 v v' + 2 w [v]x of w = cos(angle / 2), v = axis sin(angle / 2)."""
    w, v = np.cos(angle / 2), axis * np.sin(angle / 2)
    matrix = 2 * (np.outer(v, v) + w * np.cross(np.eye(3), v))
    square = v * v
    # From squares alone, as the published rotation, else the last bit would differ: v_i^2, less the two others.
    matrix[np.diag_indices(3)] = w * w + square - square[[1, 0, 0]] - square[[2, 2, 1]]
    return matrix


def draw_rotation(keypoint: Array, limit: float, draws: Draws) -> NDArray[np.float64] | None:
    """A matrix of three angles from U(-limit, limit) radians about x, y, z; None, undrawn, for a sample of zeros."""
    if is_empty(keypoint):
        return None
    return rotation_matrix(*draws.numpy.uniform(-limit, limit, size=3))


def is_empty(keypoint: Array) -> bool:
    """Whether nobody is seen in any frame."""
    first = keypoint[:1, :1]  # nearly always decides it, and is a hundredth of the work
    return not (np.abs(first) > PRESENT).any() and not (np.abs(keypoint) > PRESENT).any()


def rotation_matrix(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Rz Ry Rx for clockwise angles in radians."""
    (sx, sy, sz), (cx, cy, cz) = np.sin([x, y, z]), np.cos([x, y, z])
    rx = np.array([[1, 0, 0], [0, cx, sx], [0, -sx, cx]])
    ry = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    rz = np.array([[cz, sz, 0], [-sz, cz, 0], [0, 0, 1]])
    return rz @ (ry @ rx)


def rotate(keypoint: Array, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """x' = R x for every joint."""
    x, y, z = np.ascontiguousarray(keypoint.reshape(-1, 3).T, dtype=np.float64)
    column = matrix.T
    # In this order, each product and sum rounded: the published transform's bits (docs/trainer-data.md).
    turned = np.outer(column[0], x) + np.outer(column[2], z) + np.outer(column[1], y)
    return np.ascontiguousarray(turned.T).reshape(keypoint.shape)


def flip(
    keypoint: Array,
    probability: float,
    draws: Draws,
    mirror: bool = False,
    skeleton: Skeleton = NTU,
) -> Array:
    """Exchanges left and right joints; coordinates are not mirrored (published quirk) unless `mirror` negates x."""
    if draws.python.random() >= probability:
        return keypoint
    flipped = keypoint.take(skeleton.left_right, axis=2)
    if mirror:
        flipped[..., 0] *= -1
    return flipped


def drop_part(keypoint: Array, probability: float, draws: Draws) -> Array:
    """Zeroes one arm or leg in all frames and persons."""
    if draws.python.random() >= probability:
        return keypoint
    kept = keypoint.copy()
    kept[:, :, NTU_PARTS[draws.python.randint(0, 3)]] = 0
    return kept


def flip_image(
    keypoint: Array, width: int, probability: float, draws: Draws, skeleton: Skeleton = COCO
) -> Array:
    """Mirrors x in an image of `width` pixels and exchanges left and right; x = 0 means "not seen" and stays."""
    if draws.numpy.rand() >= probability:
        return keypoint
    flipped = keypoint.take(skeleton.left_right, axis=2)
    x = flipped[..., 0]
    flipped[..., 0] = np.where(x != 0, np.float32(width) - x, x)
    return flipped


def add_trunk(keypoint: Array) -> NDArray[np.float32]:
    """COCO's 17 joints and three more: 17 between the hips, 19 between the shoulders, 18 between those two."""
    hips, shoulders = ((keypoint[:, :, v] + keypoint[:, :, v + 1]) / 2 for v in (11, 5))
    added = np.stack([hips, (hips + shoulders) / 2, shoulders], axis=2)
    return np.concatenate([keypoint, added], axis=2).astype(np.float32)


def bones(keypoint: Array, stream: str, skeleton: Skeleton, mean_scores: bool = False) -> Array:
    """The streams j (joints as they are), b (minus the next joint) and k (minus the one after): difference in the dtype
    of the keypoints, result float32. Of 2-D scores b takes the mean; k subtracts them (published quirk) unless told.
    """
    if stream[0] == "j":
        return keypoint
    other = keypoint.take(skeleton.subtracted(stream), axis=2)
    result = (keypoint - other).astype(np.float32)
    if skeleton.dimensions == 2 and (stream[0] == "b" or mean_scores):
        result[..., 2] = (keypoint[..., 2] + other[..., 2]) / 2
    return result


def motion(source: Array, mean_scores: bool = False) -> Array:
    """m[t] = f[t + 1] - f[t], 0 in the last frame; 2-D scores are subtracted too (published quirk) unless told."""
    result = np.zeros_like(source)
    result[:, :-1] = source[:, 1:] - source[:, :-1]
    if mean_scores:
        result[:, :-1, :, 2] = (source[:, 1:, :, 2] + source[:, :-1, :, 2]) / 2
    return result


def to_clips(frames: Array, out: NDArray[np.float32]) -> None:
    """[M, clips * T, V, C] -> out [clips, persons, T, V, C], whose further persons are left at zero."""
    clips, persons, length = out.shape[:3]
    kept = frames[:persons]
    out[:, : len(kept)] = kept.reshape(len(kept), clips, length, *frames.shape[2:]).swapaxes(0, 1)
