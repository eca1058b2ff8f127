"""Kinetics: keypoints that stay in files of their own, several videos in each, being too many for the memory.

What is kept of a sample is where it stands, in a few arrays of numbers: forked workers never copy them (packed.py), and
a file is open only while a sample is read. The pages of a file are the system's, shared by all workers.
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
from proto_gcn.data.files.annotations import Raw, check_compressed, wrong
from proto_gcn.data.files.pickle_file import LASTING, place_in_file, read_pickle
from proto_gcn.errors import DataError

COPIED = -1  # a begin: the array stands nowhere as it is, and its whole file must be read
PLACE = np.dtype(
    [
        ("path", np.int64),
        ("detections", np.int64),
        ("keypoint_begin", np.int64),
        ("keypoint_type", "S3"),
        ("frames_begin", np.int64),
        ("frames_type", "S3"),
    ]
)


class InFiles(Sequence[Array]):
    """The samples of annotations that name a `raw_file` in that folder, read each time that they are asked for.

    `finish` makes of an annotation with its keypoints what Samples holds. Raises DataError that names file and sample;
    here already for whatever can be seen without looking at the numbers.
    """

    def __init__(
        self, raws: list[Raw], folder: Path, joints: int, finish: Callable[[Raw], Array]
    ) -> None:
        self._joints, self._finish = joints, finish
        self._names = np.array([raw["frame_dir"].encode() for raw in raws])
        members = _by_file(raws, folder)
        self._paths = np.array([os.fsencode(path) for path in members])
        self._places = np.zeros(len(raws), PLACE)
        for number, (path, samples) in enumerate(members.items()):
            content = read_pickle(
                path
            )  # one at a time: what is mapped is open, and a process may open 1,024
            with _named(path):
                for sample in samples:
                    self._places[sample] = number, *_place(_merged(raws[sample], content), joints)
        self._ends = np.cumsum(self._places["detections"])
        self._chosen = self._choices([raw.get("anno_inds") for raw in raws])

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> list[Array]: ...
    def __getitem__(self, index: int | slice) -> Array | list[Array]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = self._places[index]
        path = Path(os.fsdecode(self._paths[place["path"]]))
        raw: Raw = {"frame_dir": self._names[index].decode()}
        if self._chosen is not None:
            end = self._ends[index]
            raw = {**raw, "anno_inds": self._chosen[end - place["detections"] : end]}
        with _named(path):
            return self._finish(_read(raw, place, path, self._joints))

    def _choices(self, given: list[Any]) -> NDArray[np.bool_] | None:
        """Whether each detection of each sample counts; None: they all do."""
        if all(chosen is None for chosen in given):
            return None
        all_of_them = np.zeros(self._ends[-1], np.bool_)
        for mask, chosen in zip(np.split(all_of_them, self._ends[:-1]), given, strict=True):
            mask[slice(None) if chosen is None else chosen] = True
        return all_of_them


def _by_file(raws: list[Raw], folder: Path) -> dict[Path, list[int]]:
    """The samples' numbers for each file that they name."""
    members: defaultdict[Path, list[int]] = defaultdict(list)
    for number, raw in enumerate(raws):
        file = raw.get("raw_file")
        if not isinstance(file, str) or not file.isprintable() or not Path(file).name:
            raise wrong(raw, " must name the file of its keypoints as raw_file, as others do")
        members[folder / Path(file).name].append(number)
    return members


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Puts the file's name before what is wrong in it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _merged(raw: Raw, content: Any) -> Raw:
    """An annotation with the keypoints that a file of keypoints holds under its name."""
    found = content.get(raw["frame_dir"]) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise wrong(raw, " has no keypoints there")
    return {**raw, "keypoint": found.get("keypoint"), "frame_inds": found.get("frame_inds")}


def _place(raw: Raw, joints: int) -> tuple[int | str, ...]:
    """The fields of PLACE after the first."""
    check_compressed(raw, joints)
    found = [len(raw["keypoint"])]
    for array in (raw["keypoint"], raw["frame_inds"]):
        begin = place_in_file(array)
        found += [COPIED if begin is None else begin, array.dtype.str]
    return tuple(found)


def _read(raw: Raw, place: Any, path: Path, joints: int) -> Raw:
    """An annotation with its keypoints."""
    if COPIED in (place["keypoint_begin"], place["frames_begin"]):
        return _merged(raw, _whole(raw, path))
    count = int(place["detections"])
    try:
        with path.open("rb", buffering=0) as file:
            keypoint = _array(
                file.fileno(), place["keypoint_begin"], place["keypoint_type"], (count, joints, 3)
            )
            frames = _array(file.fileno(), place["frames_begin"], place["frames_type"], (count,))
    except LASTING as error:
        raise wrong(raw, f" cannot be read: {error.strerror}") from error
    except OSError as error:
        error.filename = str(path)
        raise
    except ValueError as error:  # fewer bytes than the shape wants
        raise wrong(
            raw, " is cut off: the file has become shorter since the training began"
        ) from error
    return {**raw, "keypoint": keypoint, "frame_inds": frames}


def _whole(raw: Raw, path: Path) -> Any:
    try:
        return read_pickle(path)
    except DataError as error:
        raise wrong(raw, f": {error}") from error


def _array(file: int, begin: int, kind: bytes, shape: tuple[int, ...]) -> NDArray[Any]:
    dtype = np.dtype(kind.decode())
    return np.frombuffer(os.pread(file, math.prod(shape) * dtype.itemsize, begin), dtype).reshape(
        shape
    )
