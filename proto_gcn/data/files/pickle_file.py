"""This module reads a pickle of plain containers, numbers, strings and numpy arrays.

It refuses anything else and never runs it. The file is mapped into memory and its arrays are
read-only views of it: even gigabytes open at once, and parts that are not used are never read.
Python's own unpickler is used, not the one in C. With that one, a few bytes of a hostile file can
claim any amount of memory (a memo index of two billion), and arrays are always copied.
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

#: Errors that a retry does not change. Others, such as an unreachable file server, may pass.
PERMANENT = FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError
PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iuf][1248]|c8|c16|[SU]\d+)")


def read_pickle(path: Path) -> Any:
    """Return the object in the file; raises DataError, or OSError if a retry may succeed."""
    try:
        return _load(path)
    except PERMANENT as error:
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
        raise DataError(f"the data file {path} is damaged or not a pickle ({what})") from error


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _RestrictedUnpickler(mapped).load()


def offset_in_file(array: "np.ndarray[Any, Any]") -> int | None:
    """Return the byte of the file at which an array of read_pickle begins.

    Returns None if the array is a copy. Pickle protocols before 3 write bytes as text, which must
    be copied.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    file = owner.obj if isinstance(owner, memoryview) else owner
    if not isinstance(file, mmap.mmap) or not array.flags.c_contiguous:
        return None
    return int(array.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data)


def _printable(text: str) -> str:
    """Shorten text from the file to one printable line."""
    return "".join(character if character.isprintable() else "?" for character in text[:200])


class _Unfinished:
    """An array or a dtype that was created and waits for the BUILD that holds its content."""

    def __init__(self, finish: Callable[[tuple[Any, ...]], Any]) -> None:
        self.finish = finish
        self.value: Any = self


class _Memo(dict[int, Any]):
    """The unpickler's memo; it may hold an unfinished object and returns the finished one."""

    def __getitem__(self, index: int) -> Any:
        found = super().__getitem__(index)
        return found.value if isinstance(found, _Unfinished) else found


# -- what a pickle may use ---------------------------------------------------------------------


def _dtype(code: str, align: bool = False, copy: bool = False) -> _Unfinished:
    if not PLAIN_DTYPE.fullmatch(code):
        raise DataError(
            f"it holds an array of type {code[:40]!r}, but only numbers and strings are read"
        )

    def finish(state: tuple[Any, ...]) -> "np.dtype[Any]":
        _version, order, *structure = state
        if any(part is not None for part in structure[:3]):  # subarray, field names, fields
            raise DataError("it holds an array of records, but only numbers and strings are read")
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
    """Return a view of the bytes; numpy raises if they are too few for the shape."""
    if not isinstance(dtype, np.dtype):
        raise DataError("it holds an array without a type")
    view: np.ndarray[Any, Any] = np.ndarray(shape, dtype, data, order=order)
    view.flags.writeable = False
    return view


def _scalar(dtype: "np.dtype[Any]", data: bytes) -> Any:
    return _array(data, dtype, (), "C")[()]


def _bytes(data: str | bytes | memoryview = b"", encoding: str = "latin1") -> bytes | memoryview:
    """Return the bytes that a protocol before 3 wrote; unlike `bytes`, it refuses a size."""
    if not isinstance(data, str | bytes | memoryview) or encoding not in ("latin1", "latin-1"):
        raise DataError(f"it makes bytes from a value of type {type(data).__name__}")
    return data.encode("latin1") if isinstance(data, str) else data


ALLOWED: dict[str, Any] = {
    "numpy.dtype": _dtype,
    "numpy.ndarray": "ndarray",  # only ever passed to _reconstruct, which ignores it
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
    """Return whether tuples are nested so deep that hashing them in C may overflow the stack."""
    return isinstance(found, tuple) and (
        levels == 0 or any(_deep(part, levels - 1) for part in found)
    )


def _shallow(load_tuple: Callable[[Any], None]) -> Callable[[Any], None]:
    def load(unpickler: Any) -> None:
        load_tuple(unpickler)
        if _deep(unpickler.stack[-1]):
            raise DataError("it holds tuples that are nested too deep")

    return load


# -- the unpickler -----------------------------------------------------------------------------


class _RestrictedUnpickler(pickle._Unpickler):
    """Ignores frames, makes views of bytes, and applies BUILD only to arrays and dtypes."""

    stack: list[Any]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, data: mmap.mmap) -> None:
        super().__init__(data)
        self.data = data
        self.memo = _Memo()

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full not in ALLOWED:
            raise DataError(
                f"it needs {_printable(full)}, but only numpy arrays and plain containers are read"
            )
        return ALLOWED[full]

    def load_frame(self) -> None:
        self.data.seek(8, 1)

    def load_build(self) -> None:
        state = self.stack.pop()
        unfinished = self.stack[-1]
        if not isinstance(unfinished, _Unfinished):
            raise DataError(f"it sets the state of an object of type {type(unfinished).__name__}")
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
        self.data.seek(size, 1)  # raises beyond the end
        self.append(memoryview(self.data)[start : start + size])

    dispatch[pickle.FRAME[0]] = load_frame
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SHORT_BINBYTES[0]] = load_short_view
    dispatch[pickle.BINBYTES[0]] = load_view
    dispatch[pickle.BINBYTES8[0]] = dispatch[pickle.BYTEARRAY8[0]] = load_large_view
    for _tuple in pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3:
        dispatch[_tuple[0]] = _shallow(dispatch[_tuple[0]])
