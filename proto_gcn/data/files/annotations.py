"""This module reads the splits and annotations of a data file, and checks them.

docs/trainer-data.md describes the formats. Every error names the file and the sample.
"""

import difflib
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array
from proto_gcn.data.files.compressed import decompress
from proto_gcn.data.files.pickle_file import read_pickle
from proto_gcn.errors import DataError
from proto_gcn.skeleton import NTU, Skeleton

Raw = Mapping[str, Any]
MAX_PERSONS = 2  # in a sample of NTU
MAX_WIDTH = 2**24  # pixels: float32 counts exactly up to here
OTHER_SPLIT = "(data.train_split, data.val_split)"


class DataFile:
    """The content of a data file; raises DataError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read_pickle(path)
        if not isinstance(content, dict) or not {"split", "annotations"} <= content.keys():
            raise DataError(
                f"{path} must hold a dict with the keys split and annotations"
                " (the format of ntu60_3danno.pkl)"
            )
        self._splits = content["split"]
        self._annotations = content["annotations"]
        if not isinstance(self._splits, dict) or not isinstance(self._annotations, list):
            raise DataError(
                f"{path}: split must be a dict of lists of names, annotations a list of dicts"
            )
        self._check_names()

    def _check_names(self) -> None:
        for number, raw in enumerate(self._annotations):
            name = raw.get("frame_dir") if isinstance(raw, dict) else None
            if not isinstance(name, str) or not name.isprintable():
                raise DataError(
                    f"{self.path}: annotation {number} (from 0) must be a dict"
                    " with a name as frame_dir"
                )

    def split(self, name: str | None) -> list[Raw]:
        """Return the annotations of a split in the order of the file; all of them for None."""
        if name is None:
            return list(self._annotations)
        if name not in self._splits:
            raise DataError(f"{self.path} has no split {name}{self._nearest(name)} {OTHER_SPLIT}")
        if not isinstance(self._splits[name], list | tuple | set | frozenset):
            raise DataError(f"{self.path}: the split {name} must be a list of names (frame_dir)")
        members = {member for member in self._splits[name] if isinstance(member, str)}
        found = [raw for raw in self._annotations if raw["frame_dir"] in members]
        if not found:
            raise DataError(f"{self.path}: the split {name} is empty; choose another {OTHER_SPLIT}")
        return found

    def _nearest(self, name: str) -> str:
        known = [
            key if isinstance(key, str) and key.isprintable() else ascii(key)
            for key in self._splits
        ]
        near = difflib.get_close_matches(name, known, n=1)
        return f"; did you mean {near[0]}?" if near else f"; its splits are {', '.join(known)}"


def checked_label(raw: Raw, classes: int) -> int:
    """Return the label; raises DataError that names the sample."""
    label = raw.get("label")
    if not _is_whole(label) or not 0 <= label < classes:
        raise sample_error(
            raw,
            f" has the label {reprlib.repr(label)}; it must be a whole number from 0 to"
            f" {classes - 1} (model.cls_head.num_classes is {classes})",
        )
    return int(label)


def keypoints(raw: Raw, skeleton: Skeleton) -> Array:
    """Return the keypoints [M, T, V, 3] of an annotation, compressed or not.

    Raises DataError that names the sample.
    """
    if skeleton.dimensions == 2 and "frame_inds" in raw:
        check_compressed(raw, skeleton.stored)
        try:
            return decompress(raw["keypoint"], raw["frame_inds"], raw.get("anno_inds"))
        except DataError as error:
            raise sample_error(raw, f": {error}") from error
    found = _dense(raw, skeleton)
    return _native(found if skeleton.dimensions == 3 else _with_scores(raw, found))


def _dense(raw: Raw, skeleton: Skeleton) -> Array:
    found = raw.get("keypoint")
    most = MAX_PERSONS if skeleton is NTU else None
    rest = skeleton.stored, skeleton.dimensions
    wanted = f"[{'M' if most is None else '1 or 2'}, T, {rest[0]}, {rest[1]}]"
    if not _is_float_array(found) or found.ndim != 4:
        raise sample_error(raw, f": keypoint must be a float array {wanted}")
    shape: tuple[int, ...] = found.shape
    persons, frames = shape[:2]
    if not 1 <= persons <= (most or persons) or frames < 1 or shape[2:] != rest:
        raise sample_error(raw, f": keypoint has the shape {shape}; it must be {wanted}")
    return found


def check_compressed(raw: Raw, joints: int) -> None:
    """Check types and shapes, but not the numbers; raises DataError that names the sample."""
    detections, frames, chosen = raw.get("keypoint"), raw.get("frame_inds"), raw.get("anno_inds")
    if not _is_float_array(detections) or detections.shape[1:] != (joints, 3):
        raise sample_error(
            raw,
            f": keypoint must be a float array [detections, {joints}, 3] when there are frame_inds",
        )
    count = len(detections)
    if not _is_int_array(frames) or frames.shape != (count,):
        raise sample_error(
            raw, f": frame_inds must be whole numbers, one for each of the {count} detections"
        )
    if chosen is not None and not _is_choice(chosen, count):
        raise sample_error(
            raw,
            f": anno_inds must be true or false for each of the {count} detections,"
            " or ascending numbers of detections",
        )


def image_width(raw: Raw) -> int:
    """Return the width in pixels; raises DataError that names the sample."""
    shape = raw.get("img_shape")
    if not isinstance(shape, tuple | list) or len(shape) != 2 or not _is_whole(shape[1]):
        raise sample_error(raw, ": img_shape must be (height, width) in pixels")
    if not 0 < shape[1] < MAX_WIDTH:
        raise sample_error(
            raw,
            f": img_shape has the width {reprlib.repr(shape[1])}; it must be a number of pixels",
        )
    return int(shape[1])


def confident(raw: Raw, threshold: float, ratio: float) -> Raw | None:
    """Return the annotation with only the detections whose box score reaches the threshold.

    Returns None if the share of frames with such a detection is below `ratio`.
    """
    valid, scores, total = raw.get("valid"), raw.get("box_score"), raw.get("total_frames")
    frames = valid.get(threshold) if isinstance(valid, dict) else None
    if not _is_whole(frames) or not _is_float_array(scores):
        raise sample_error(
            raw, f": valid[{threshold:g}] and box_score are needed when data.valid_ratio is above 0"
        )
    if not _is_whole(total) or total < 1:
        raise sample_error(
            raw,
            ": total_frames must be the number of frames, at least 1,"
            " when data.valid_ratio is above 0",
        )
    share = min(max(frames, 0), total) / total
    return {**raw, "anno_inds": scores >= threshold} if share >= ratio else None


def sample_error(raw: Raw, what: str) -> DataError:
    """Return an error that names the sample and says what is wrong with it."""
    return DataError(f"sample {raw['frame_dir'][:80]}{what}")


def _with_scores(raw: Raw, keypoint: Array) -> Array:
    scores = raw.get("keypoint_score")
    if not _is_float_array(scores) or scores.shape != keypoint.shape[:3]:
        raise sample_error(
            raw, f": keypoint_score must be a float array {list(keypoint.shape[:3])}"
        )
    return np.concatenate([keypoint, scores[..., None]], axis=-1)


def _native(keypoint: Array) -> Array:
    """Convert to the byte order of this machine."""
    return keypoint.astype(keypoint.dtype.newbyteorder("="), copy=False)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int | np.integer)


def _is_float_array(value: object) -> TypeGuard[Array]:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _is_int_array(value: object) -> TypeGuard[NDArray[np.integer]]:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iu"


def _is_choice(chosen: object, count: int) -> bool:
    """Return whether it selects among `count` detections: a mask, or ascending numbers."""
    if not isinstance(chosen, np.ndarray) or chosen.ndim != 1:
        return False
    if chosen.dtype.kind == "b":
        return len(chosen) == count
    inside = _is_int_array(chosen) and bool(((chosen >= 0) & (chosen < count)).all())
    return inside and not (chosen[1:] <= chosen[:-1]).any()
