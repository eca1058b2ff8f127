"""Reads a pickle of plain containers, numbers, strings and numpy arrays; anything else is refused, never run.

The file is mapped into memory and its arrays are read-only views of it: even gigabytes are there at once, and what is
not looked at is never read. Python's own unpickler is used, because the one in C lets a few bytes of a hostile file
claim any amount of memory (a memo index of two billion), and cannot leave the arrays where they are.
"""

import mmap
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from proto_gcn.errors import DataError, first_line

#: What no retry changes. Others (a server of files that is away, no memory) say nothing about the file.
LASTING = FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError
PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iuf][1248]|c8|c16|[SU]\d+)")


def read_pickle(path: Path) -> Any:
    """The object in the file; raises DataError with one sentence, and OSError for what may be over at the next try."""
    try:
        with path.open("rb") as file:
            return _RestrictedUnpickler(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).load()
    except LASTING as error:
        raise DataError(
            f"cannot read the data file {path}: {error.strerror}; check data.ann_file"
        ) from error
    except OSError as error:
        error.filename = str(path)
        raise
    except DataError as error:
        raise DataError(f"the data file {path} is refused: {error}") from error
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        what = _printable(f"{type(error).__name__}: {first_line(error)}")
        raise DataError(f"the data file {path} is damaged or no pickle ({what})") from error


def place_in_file(array: "np.ndarray[Any, Any]") -> int | None:
    """The byte of its file at which an array from read_pickle begins; None for one that is no view of it.

    Protocols before 3 write bytes as text, and what is read of that is a copy.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    file = owner.obj if isinstance(owner, memoryview) else owner
    if not isinstance(file, mmap.mmap) or not array.flags.c_contiguous:
        return None
    return int(array.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data)


def _printable(text: str) -> str:
    """What the file's author wrote, in no more than a line."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


class _Unfinished:
    """An array or a dtype between its making and the BUILD that says what is in it."""

    def __init__(self, finish: Callable[[tuple[Any, ...]], Any]) -> None:
        self.finish, self.value = finish, self


class _Memo(dict[int, Any]):
    """A pickle remembers an object before it is finished; who asks later gets the finished one."""

    def __getitem__(self, index: int) -> Any:
        found = super().__getitem__(index)
        return found.value if isinstance(found, _Unfinished) else found


# -- what a pickle may ask for ------------------------------------------------------------------------------------


def _dtype(code: str, align: bool = False, copy: bool = False) -> _Unfinished:
    if not PLAIN_DTYPE.fullmatch(code):
        raise DataError(
            f"it holds an array of type {code[:40]!r}, and only numbers and strings are read"
        )

    def finish(state: tuple[Any, ...]) -> "np.dtype[Any]":
        _version, order, *structure = state
        if any(part is not None for part in structure[:3]):  # subarray, field names, fields
            raise DataError("it holds an array of records, and only numbers and strings are read")
        return np.dtype(code).newbyteorder(order)

    return _Unfinished(finish)


def _reconstruct(_kind: object, _shape: object, _code: object) -> _Unfinished:
    def finish(state: tuple[Any, ...]) -> "np.ndarray[Any, Any]":
        shape, dtype, fortran, data = state[-4:]  # old pickles lack the version in front
        return _array(data, dtype, shape, "F" if fortran else "C")

    return _Unfinished(finish)


def _array(
    data: bytes, dtype: "np.dtype[Any]", shape: tuple[int, ...], order: Any
) -> "np.ndarray[Any, Any]":
    """A view of the bytes; numpy itself refuses a shape that they are too few for."""
    if not isinstance(dtype, np.dtype):
        raise DataError("it holds an array without a type")
    view: np.ndarray[Any, Any] = np.ndarray(shape, dtype, data, order=order)
    view.flags.writeable = False
    return view


def _scalar(dtype: "np.dtype[Any]", data: bytes) -> Any:
    return _array(data, dtype, (), "C")[()]


def _bytes(data: str | bytes | memoryview = b"", encoding: str = "latin1") -> bytes | memoryview:
    """How protocols before 3 write bytes; not `bytes` itself, to which a number is a size."""
    if not isinstance(data, str | bytes | memoryview) or encoding not in ("latin1", "latin-1"):
        raise DataError(f"it makes bytes of a {type(data).__name__}")
    return data.encode("latin1") if isinstance(data, str) else data


ALLOWED: dict[str, Any] = {
    "numpy.dtype": _dtype,
    "numpy.ndarray": "ndarray",  # only ever handed to _reconstruct, so a word will do
    "_codecs.encode": _bytes,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
}
NUMPY_INTERNALS: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _reconstruct,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _array,
}
for _name, _function in NUMPY_INTERNALS.items():
    ALLOWED[f"numpy.core.{_name}"] = _function  # numpy 1
    ALLOWED[f"numpy._core.{_name}"] = _function  # numpy 2


def _deep(found: object, levels: int = 20) -> bool:
    """Whether tuples stand in tuples so far that the hash of the outermost, computed in C, might overflow the stack."""
    return isinstance(found, tuple) and (
        levels == 0 or any(_deep(part, levels - 1) for part in found)
    )


def _shallow(load_tuple: Callable[[Any], None]) -> Callable[[Any], None]:
    def load(unpickler: Any) -> None:
        load_tuple(unpickler)
        if _deep(unpickler.stack[-1]):
            raise DataError("it holds tuples in tuples in tuples without end")

    return load


# -- the machine ----------------------------------------------------------------------------------------------------


class _RestrictedUnpickler(pickle._Unpickler):
    """Frames are read through, bytes become views, and BUILD finishes arrays and dtypes and nothing else."""

    stack: list[Any]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, data: mmap.mmap) -> None:
        super().__init__(data)
        self.data, self.memo = data, _Memo()

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full not in ALLOWED:
            raise DataError(
                f"it asks for {_printable(full)}, and only numpy arrays and plain containers are read"
            )
        return ALLOWED[full]

    def load_frame(self) -> None:
        self.data.seek(8, 1)

    def load_build(self) -> None:
        state = self.stack.pop()
        unfinished = self.stack[-1]
        if not isinstance(unfinished, _Unfinished):
            raise DataError(f"it sets the state of a {type(unfinished).__name__}")
        unfinished.value = self.stack[-1] = unfinished.finish(state)

    def load_short_view(self) -> None:
        self._view(self.data.read(1)[0])

    def load_view(self) -> None:
        (size,) = struct.unpack("<I", self.data.read(4))
        self._view(size)

    def load_large_view(self) -> None:
        (size,) = struct.unpack("<Q", self.data.read(8))
        self._view(size)

    def _view(self, size: int) -> None:
        start = self.data.tell()
        self.data.seek(size, 1)  # beyond the end: an error
        self.append(memoryview(self.data)[start : start + size])

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SHORT_BINBYTES[0]] = load_short_view
    dispatch[pickle.BINBYTES[0]] = load_view
    dispatch[pickle.BINBYTES8[0]] = dispatch[pickle.BYTEARRAY8[0]] = load_large_view
    for _tuple in pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3:
        dispatch[_tuple[0]] = _shallow(dispatch[_tuple[0]])
