"""This module expands the compressed poses of Kinetics.

Instead of persons x frames, a sample is a list of detections, each with the number of its frame.
"""

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array
from proto_gcn.errors import DataError

MAX_PERSONS = 10


def decompress(
    detections: Array,
    frames: NDArray[np.integer],
    chosen: NDArray[np.bool_ | np.integer] | None = None,
) -> Array:
    """Return [M, T, V, 3] float16 (x, y, score) from detections [D, V, 3] and their frames [D].

    Frames without a detection are left out. The persons of a frame keep the order of the file. If
    any frame has more than ten, every frame keeps the ten with the highest scores, best first.
    Raises DataError.
    """
    if chosen is not None:
        detections, frames = detections[chosen], frames[chosen]
    if len(frames) == 0:
        raise DataError("it has no detection that counts")
    if (frames[1:] < frames[:-1]).any():
        raise DataError("frame_inds must not descend")
    _, frame, count = np.unique(frames, return_inverse=True, return_counts=True)
    return _persons_by_frames(detections.astype(np.float16), frame, count)


def _persons_by_frames(
    detections: NDArray[np.float16], frame: NDArray[np.integer], count: NDArray[np.integer]
) -> NDArray[np.float16]:
    """Place the detections [D]; `frame` [D] counts from 0, `count` [T] is how many each has."""
    if count.max() > MAX_PERSONS:
        detections = detections[np.lexsort((-detections[..., 2].sum(axis=-1), frame))]
    rank = np.arange(len(frame)) - (np.cumsum(count) - count)[frame]  # within its frame
    kept = rank < MAX_PERSONS
    shape = min(count.max(), MAX_PERSONS), len(count), *detections.shape[1:]
    persons = np.zeros(shape, np.float16)
    persons[rank[kept], frame[kept]] = detections[kept]
    return persons
