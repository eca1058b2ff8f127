"""This module reads the keypoints of Kinetics from separate files, each time they are needed.

A file holds several videos, and all of them together are too large for the memory. Only the
location of each sample is kept, in a few arrays of numbers that forked workers never copy
(packed.py). A file is open only while a sample is read; its pages are in the system's cache, which
all workers share.
"""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from proto_gcn.data.arrays import Array
from proto_gcn.data.files.annotations import Raw, check_compressed, sample_error
from proto_gcn.data.files.pickle_file import PERMANENT, offset_in_file, read_pickle
from proto_gcn.errors import DataError

COPIED = -1  # offset of an array that is not in the file as it is: the whole file must be read
LOCATION = np.dtype(
    [
        ("path", np.int64),
        ("detections", np.int64),
        ("keypoint_offset", np.int64),
        ("keypoint_type", "S3"),
        ("frames_offset", np.int64),
        ("frames_type", "S3"),
    ]
)


class KeypointFiles(Sequence[Array]):
    """The samples of annotations that name a `raw_file` in a folder.

    `finish` turns an annotation with its keypoints into the array to keep. The constructor and
    indexing raise DataError that names file and sample; the constructor checks all but the numbers.
    """

    def __init__(
        self, raws: list[Raw], folder: Path, joints: int, finish: Callable[[Raw], Array]
    ) -> None:
        self._joints = joints
        self._finish = finish
        self._names = np.array([raw["frame_dir"].encode() for raw in raws])
        members = _by_file(raws, folder)
        self._paths = np.array([os.fsencode(path) for path in members])
        self._locations = np.zeros(len(raws), LOCATION)
        for number, (path, samples) in enumerate(members.items()):
            self._locate(number, path, {sample: raws[sample] for sample in samples})
        self._ends = np.cumsum(self._locations["detections"])
        self._chosen = self._choices([raw.get("anno_inds") for raw in raws])

    def _locate(self, number: int, path: Path, raws: dict[int, Raw]) -> None:
        # One file at a time: a mapped file is open, and a process may open only 1,024.
        content = read_pickle(path)
        with _naming(path):
            for sample, raw in raws.items():
                found = _location(_merged(raw, content), self._joints)
                self._locations[sample] = number, *found

    def __len__(self) -> int:
        return len(self._locations)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        location = self._locations[index]
        path = Path(os.fsdecode(self._paths[location["path"]]))
        raw: Raw = {"frame_dir": self._names[index].decode()}
        if self._chosen is not None:
            end = self._ends[index]
            raw = {**raw, "anno_inds": self._chosen[end - location["detections"] : end]}
        with _naming(path):
            return self._finish(_read(raw, location, path, self._joints))

    def _choices(self, given: list[Any]) -> NDArray[np.bool_] | None:
        """Return a mask over all detections of all samples; None if all of them count."""
        if all(chosen is None for chosen in given):
            return None
        mask = np.zeros(self._ends[-1], np.bool_)
        for part, chosen in zip(np.split(mask, self._ends[:-1]), given, strict=True):
            part[slice(None) if chosen is None else chosen] = True
        return mask


def _by_file(raws: list[Raw], folder: Path) -> dict[Path, list[int]]:
    """Return the numbers of the samples in each file."""
    members: defaultdict[Path, list[int]] = defaultdict(list)
    for number, raw in enumerate(raws):
        file = raw.get("raw_file")
        if not isinstance(file, str) or not file.isprintable() or not Path(file).name:
            raise sample_error(
                raw, " must name the file of its keypoints as raw_file, like the other samples"
            )
        members[folder / Path(file).name].append(number)
    return members


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the name of the file in front of an error."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _merged(raw: Raw, content: Any) -> Raw:
    """Return the annotation with the keypoints that the file holds under its name."""
    found = content.get(raw["frame_dir"]) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise sample_error(raw, " has no keypoints in this file")
    return {**raw, "keypoint": found.get("keypoint"), "frame_inds": found.get("frame_inds")}


def _location(raw: Raw, joints: int) -> tuple[int | str, ...]:
    """Return the fields of LOCATION after the first."""
    check_compressed(raw, joints)
    found = [len(raw["keypoint"])]
    for array in (raw["keypoint"], raw["frame_inds"]):
        offset = offset_in_file(array)
        found += [COPIED if offset is None else offset, array.dtype.str]
    return tuple(found)


def _read(raw: Raw, location: Any, path: Path, joints: int) -> Raw:
    """Return the annotation with its keypoints."""
    if COPIED in (location["keypoint_offset"], location["frames_offset"]):
        return _merged(raw, _whole(raw, path))
    try:
        return {**raw, **_arrays(path, location, joints)}
    except PERMANENT as error:
        raise sample_error(raw, f" cannot be read: {error.strerror}") from error
    except OSError as error:
        error.filename = str(path)
        raise
    except ValueError as error:  # fewer bytes than the shape needs
        raise sample_error(
            raw, " is cut off: the file has become shorter since the training began"
        ) from error


def _whole(raw: Raw, path: Path) -> Any:
    try:
        return read_pickle(path)
    except DataError as error:
        raise sample_error(raw, f": {error}") from error


def _arrays(path: Path, location: Any, joints: int) -> dict[str, NDArray[Any]]:
    count = int(location["detections"])
    shapes = {"keypoint": (count, joints, 3), "frames": (count,)}
    with path.open("rb", buffering=0) as file:
        keypoint, frames = (
            _array(file.fileno(), location[f"{name}_offset"], location[f"{name}_type"], shape)
            for name, shape in shapes.items()
        )
    return {"keypoint": keypoint, "frame_inds": frames}


def _array(file: int, offset: int, kind: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = np.dtype(kind.decode())
    content = os.pread(file, math.prod(shape) * dtype.itemsize, offset)
    return np.frombuffer(content, dtype).reshape(shape)
