"""The data file: its splits and annotations, checked before training starts (formats: docs/trainer-data.md)."""

import difflib
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from proto_gcn.data.arrays import Array
from proto_gcn.data.files.compressed import decompress
from proto_gcn.data.files.pickle_file import read_pickle
from proto_gcn.errors import DataError
from proto_gcn.skeleton import NTU, Skeleton

Raw = Mapping[str, Any]
MAX_PERSONS = 2  # in a sample of NTU
WIDEST = 2**24  # pixels: float32 counts no further


class DataFile:
    """The content of a data file; raises DataError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path, content = path, read_pickle(path)
        if not isinstance(content, dict) or not {"split", "annotations"} <= content.keys():
            raise DataError(
                f"{path} must hold a dict with the keys split and annotations (the format of ntu60_3danno.pkl)"
            )
        self._splits, self._annotations = content["split"], content["annotations"]
        if not isinstance(self._splits, dict) or not isinstance(self._annotations, list):
            raise DataError(
                f"{path}: split must be a dict of lists of names, annotations a list of dicts"
            )
        for number, raw in enumerate(self._annotations):
            name = raw.get("frame_dir") if isinstance(raw, dict) else None
            if not isinstance(name, str) or not name.isprintable():
                raise DataError(
                    f"{path}: annotation {number} (from 0) must be a dict with a name as frame_dir"
                )

    def split(self, name: str | None) -> list[Raw]:
        """The annotations of a split in the order of the file; of all without a name."""
        if name is None:
            return list(self._annotations)
        if name not in self._splits:
            known = [
                key if isinstance(key, str) and key.isprintable() else ascii(key)
                for key in self._splits
            ]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(known)}"
            raise DataError(
                f"{self.path}: there is no split {name}{hint} (data.train_split, data.val_split)"
            )
        if not isinstance(self._splits[name], list | tuple | set | frozenset):
            raise DataError(f"{self.path}: the split {name} must be a list of names (frame_dir)")
        members = {member for member in self._splits[name] if isinstance(member, str)}
        found = [raw for raw in self._annotations if raw["frame_dir"] in members]
        if not found:
            raise DataError(
                f"{self.path}: the split {name} is empty; choose another (data.train_split, data.val_split)"
            )
        return found


def checked_label(raw: Raw, classes: int) -> int:
    """Raises DataError that names the sample."""
    label = raw.get("label")
    if not isinstance(label, int | np.integer) or not 0 <= label < classes:
        rule = f"0 to {classes - 1} (model.cls_head.num_classes is {classes})"
        raise wrong(
            raw, f" has the label {reprlib.repr(label)}; it must be a whole number from {rule}"
        )
    return int(label)


def keypoints(raw: Raw, skeleton: Skeleton) -> Array:
    """[M, T, V, 3] of an annotation of that skeleton, compressed or not; raises DataError that names the sample."""
    found = raw.get("keypoint")
    stored, values = skeleton.stored, skeleton.dimensions
    wanted = f"[{'1 or 2' if skeleton is NTU else 'M'}, T, {stored}, {values}]"
    if values == 2 and "frame_inds" in raw:
        check_compressed(raw, stored)
        try:
            return decompress(raw["keypoint"], raw["frame_inds"], raw.get("anno_inds"))
        except DataError as error:
            raise wrong(raw, f": {error}") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.ndim != 4:
        raise wrong(raw, f": keypoint must be a float array {wanted}")
    persons, frames, *rest = found.shape
    if (
        persons < 1
        or (skeleton is NTU and persons > MAX_PERSONS)
        or frames < 1
        or rest != [stored, values]
    ):
        raise wrong(raw, f": keypoint has the shape {found.shape}; it must be {wanted}")
    return _native(found if values == 3 else _with_scores(raw, found))


def check_compressed(raw: Raw, joints: int) -> None:
    """Looks at types and shapes, not at the numbers; raises DataError that names the sample."""
    detections, frames, chosen = raw.get("keypoint"), raw.get("frame_inds"), raw.get("anno_inds")
    if (
        not isinstance(detections, np.ndarray)
        or detections.dtype.kind != "f"
        or detections.shape[1:] != (joints, 3)
    ):
        raise wrong(
            raw,
            f": keypoint must be a float array [detections, {joints}, 3] where there are frame_inds",
        )
    count = len(detections)
    if (
        not isinstance(frames, np.ndarray)
        or frames.dtype.kind not in "iu"
        or frames.shape != (count,)
    ):
        raise wrong(
            raw, f": frame_inds must be whole numbers, one for each of the {count} detections"
        )
    if chosen is not None and not _chooses(chosen, count):
        raise wrong(
            raw, f": anno_inds must be true or false for each of the {count} detections, or numbers"
        )


def image_width(raw: Raw) -> int:
    """In pixels; raises DataError that names the sample."""
    shape = raw.get("img_shape")
    if (
        not isinstance(shape, tuple | list)
        or len(shape) != 2
        or not isinstance(shape[1], int | np.integer)
    ):
        raise wrong(raw, ": img_shape must be (height, width) in pixels")
    if not 0 < shape[1] < WIDEST:
        raise wrong(
            raw,
            f": img_shape has the width {reprlib.repr(shape[1])}; it must be a number of pixels",
        )
    return int(shape[1])


def confident(raw: Raw, threshold: float, ratio: float) -> Raw | None:
    """With the detections whose box is surer than the threshold chosen; None where too few frames have such a one."""
    valid, scores, total = raw.get("valid"), raw.get("box_score"), raw.get("total_frames")
    frames = valid.get(threshold) if isinstance(valid, dict) else None
    if (
        not isinstance(frames, int | np.integer)
        or not isinstance(scores, np.ndarray)
        or scores.dtype.kind != "f"
    ):
        raise wrong(
            raw,
            f": valid[{threshold:g}] and box_score are needed where data.valid_ratio is above 0",
        )
    if not isinstance(total, int | np.integer) or total < 1:
        raise wrong(
            raw,
            ": total_frames must be the number of frames, from 1, where data.valid_ratio is above 0",
        )
    share = min(max(frames, 0), total) / total
    return {**raw, "anno_inds": scores >= threshold} if share >= ratio else None


def wrong(raw: Raw, what: str) -> DataError:
    """What is wrong, with the name of the sample."""
    return DataError(f"sample {raw['frame_dir'][:80]}{what}")


def _with_scores(raw: Raw, keypoint: Array) -> Array:
    scores = raw.get("keypoint_score")
    if (
        not isinstance(scores, np.ndarray)
        or scores.dtype.kind != "f"
        or scores.shape != keypoint.shape[:3]
    ):
        raise wrong(raw, f": keypoint_score must be a float array {list(keypoint.shape[:3])}")
    return np.concatenate([keypoint, scores[..., None]], axis=-1)


def _native(keypoint: Array) -> Array:
    """In the machine's own order of bytes."""
    return keypoint.astype(keypoint.dtype.newbyteorder("="), copy=False)


def _chooses(chosen: object, count: int) -> bool:
    """Whether it picks among so many detections, by a mask or by their numbers, ascending."""
    if not isinstance(chosen, np.ndarray) or chosen.ndim != 1:
        return False
    if chosen.dtype.kind == "b":
        return len(chosen) == count
    inside = bool(((chosen >= 0) & (chosen < count)).all()) if chosen.dtype.kind in "iu" else False
    return inside and not (chosen[1:] <= chosen[:-1]).any()
