"""The NTU data file (`ntu60_3danno.pkl`): its splits and annotations, checked before training starts."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from proto_gcn.data.pickle_file import read_pickle
from proto_gcn.data.transforms import MAX_PERSONS, Array
from proto_gcn.errors import DataError

JOINTS, COORDINATES = 25, 3


@dataclass(frozen=True)
class Annotation:
    """One sample: keypoint [M, T, 25, 3] in metres, label 0-based."""

    name: str
    label: int
    keypoint: Array


def read_splits(path: Path, names: tuple[str, ...], classes: int) -> list[list[Annotation]]:
    """The annotations of the named splits, in the order of the file; raises DataError."""
    content = read_pickle(path)
    if not isinstance(content, dict) or not {"split", "annotations"} <= content.keys():
        raise DataError(f"{path} must hold a dict with the keys split and annotations (the format of ntu60_3danno.pkl)")
    try:
        return [_read_split(content, name, classes) for name in names]
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _read_split(content: dict[str, Any], name: str, classes: int) -> list[Annotation]:
    splits = content["split"]
    if name not in splits:
        near = difflib.get_close_matches(name, splits, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(map(str, splits))}"
        raise DataError(f"there is no split {name}{hint} (data.train_split, data.val_split)")
    members = set(splits[name])
    found = [_checked(raw, classes) for raw in content["annotations"] if raw.get("frame_dir") in members]
    if not found:
        raise DataError(f"the split {name} is empty; choose another (data.train_split, data.val_split)")
    return found


def _checked(raw: dict[str, Any], classes: int) -> Annotation:
    name, label, keypoint = raw["frame_dir"], raw.get("label"), raw.get("keypoint")
    if not isinstance(label, int | np.integer) or not 0 <= label < classes:
        rule = f"0 to {classes - 1} (model.cls_head.num_classes is {classes})"
        raise DataError(f"sample {name} has the label {label!r}; it must be a whole number from {rule}")
    if not isinstance(keypoint, np.ndarray) or keypoint.dtype.kind != "f" or keypoint.ndim != 4:
        raise DataError(f"sample {name}: keypoint must be a float array [M, T, 25, 3]")
    persons, frames, *rest = keypoint.shape
    if not 1 <= persons <= MAX_PERSONS or frames < 1 or rest != [JOINTS, COORDINATES]:
        raise DataError(f"sample {name}: keypoint has the shape {keypoint.shape}; it must be [1 or 2, T, 25, 3]")
    return Annotation(name, int(label), keypoint)
