"""Kinetics' compressed poses: a list of detections, each with the number of its frame, instead of persons x frames."""

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array
from proto_gcn.errors import DataError

MOST_PERSONS = 10


def decompress(
    detections: Array,
    frames: NDArray[np.integer],
    chosen: NDArray[np.bool_ | np.integer] | None = None,
) -> Array:
    """Detections [D, V, 3] and their frame numbers [D] -> [M, T, V, 3] float16 (x, y, score).

    Frames without a detection vanish. Persons of a frame stand in the order of the file; where a frame has more than
    ten, the ten with the highest scores stay in every frame, best first. Raises DataError.
    """
    if chosen is not None:
        detections, frames = detections[chosen], frames[chosen]
    if len(frames) == 0:
        raise DataError("it has no detection that counts")
    if (frames[1:] < frames[:-1]).any():
        raise DataError("frame_inds must not descend")
    _, frame, count = np.unique(frames, return_inverse=True, return_counts=True)
    detections = detections.astype(np.float16)
    if count.max() > MOST_PERSONS:
        detections = detections[np.lexsort((-detections[..., 2].sum(axis=-1), frame))]
    rank = (
        np.arange(len(frame)) - (np.cumsum(count) - count)[frame]
    )  # of each detection in its frame
    kept = rank < MOST_PERSONS
    persons = np.zeros(
        (min(count.max(), MOST_PERSONS), len(count), *detections.shape[1:]), np.float16
    )
    persons[rank[kept], frame[kept]] = detections[kept]
    return persons
