"""Reads a pickle of plain containers, numbers, strings and numpy arrays; anything else is refused, never run."""

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from proto_gcn.errors import DataError

PLAIN_DTYPE = re.compile(r"[<>|=]?(b1|[iuf][1248]|c8|c16|[SU]\d+)")


def read_pickle(path: Path) -> Any:
    """The object in the file; raises DataError with one sentence."""
    try:
        with path.open("rb") as file:
            return _RestrictedUnpickler(file).load()
    except OSError as error:
        raise DataError(f"cannot read the data file {path}: {error.strerror}; check data.ann_file") from error
    except DataError as error:
        raise DataError(f"the data file {path} is refused: {error}") from error
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise DataError(f"the data file {path} is damaged or no pickle ({type(error).__name__}: {error})") from error


def _plain_dtype(code: str, align: bool = False, copy: bool = False) -> "np.dtype[Any]":
    if not PLAIN_DTYPE.fullmatch(code):
        raise DataError(f"it holds an array of type {code!r}, and only numbers and strings are read")
    return np.dtype(code)


def _empty_array(_kind: object, _shape: object, _code: object) -> "np.ndarray[Any, Any]":
    """What numpy's array reconstruction starts from; the pickle then sets shape, dtype and bytes."""
    return np.empty(0, dtype=np.int8)


def _array_from_buffer(buffer: bytes, dtype: "np.dtype[Any]", shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _scalar(dtype: "np.dtype[Any]", data: bytes) -> Any:
    return np.frombuffer(data, dtype, count=1)[0]


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise DataError(f"it encodes bytes as {encoding!r}")
    return text.encode("latin1")


ALLOWED: dict[str, Any] = {
    "numpy.dtype": _plain_dtype,
    "numpy.ndarray": "ndarray",  # only ever handed to _reconstruct, so a word will do
    "_codecs.encode": _latin1,  # how protocols before 3 write bytes
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "builtins.frozenset": frozenset,
}
NUMPY_INTERNALS: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": _empty_array,
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _array_from_buffer,
}
for _name, _function in NUMPY_INTERNALS.items():
    ALLOWED[f"numpy.core.{_name}"] = _function  # numpy 1
    ALLOWED[f"numpy._core.{_name}"] = _function  # numpy 2


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}".replace("__builtin__.", "builtins.")
        if full not in ALLOWED:
            raise DataError(f"it asks for {full}, and only numpy arrays and plain containers are read")
        return ALLOWED[full]
