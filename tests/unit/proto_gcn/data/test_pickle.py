"""The restricted unpickler reads plain content and refuses everything else without running it."""

import errno
import itertools
import mmap
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devtools import ROOT
from proto_gcn.data.files.pickle_file import read_pickle
from proto_gcn.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def write(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f8", ">i4", "|u1", "?"])
def test_plain_content_survives_every_protocol(protocol: int, dtype: str, tmp_path: Path) -> None:
    array = np.arange(600).astype(dtype)
    content = {
        "numbers": [1, 2.5, None, True, 10**30, -(2**70)],
        "text": (
            "ü",
            b"\x00\xff",
            b"x" * 300,
            b"",
            bytearray(b"ab"),
            bytearray(300),
            {1, 2},
            frozenset("a"),
        ),
        "array": array.reshape(2, 300),
        "fortran": np.asfortranarray(array.reshape(2, 300)),
        "words": np.array(["a", "bc"]),
        "empty": np.zeros((0, 3), dtype),
        "no_axis": np.array(1, dtype),
        "strided": array[::2],
        "large": np.arange(40_000, dtype=np.int32),  # outside of a frame
        "scalar": np.float32(1.5),
        "ordered": OrderedDict(a=1),
    }
    read = read_pickle(write(tmp_path / "plain.pkl", content, protocol))
    for key in [key for key, value in content.items() if isinstance(value, np.ndarray)]:
        found, wanted = read.pop(key), content.pop(key)
        assert np.array_equal(found, wanted)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert not found.flags.writeable
    assert read == content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_array_that_occurs_twice_is_one_object(protocol: int, tmp_path: Path) -> None:
    array = np.arange(6.0)
    first, second = read_pickle(write(tmp_path / "twice.pkl", [array, array], protocol))
    assert first is second


def renamed(content: bytes, old: str, new: str) -> bytes:
    """Replace the package before `.multiarray` and `.numeric`.

    Newer protocols have the length before a name.
    """
    for module in (".multiarray", ".numeric"):
        before, after = (old + module).encode(), (new + module).encode()
        content = content.replace(
            b"\x8c" + bytes([len(before)]) + before, b"\x8c" + bytes([len(after)]) + after
        )
        content = content.replace(b"c" + before, b"c" + after)
    return content


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_the_module_names_of_numpy_1_and_2_are_read(
    package: str, protocol: int, tmp_path: Path
) -> None:
    wanted = {"array": np.arange(5, dtype=np.float16), "scalar": np.float64(2.5)}
    content = renamed(pickle.dumps(wanted, protocol), "numpy._core", "numpy.core")
    content = renamed(content, "numpy.core", package)
    assert b"numpy.core." in content if package == "numpy.core" else b"numpy.core." not in content
    (tmp_path / "x.pkl").write_bytes(content)
    read = read_pickle(tmp_path / "x.pkl")
    assert np.array_equal(read["array"], wanted["array"])
    assert read["scalar"] == 2.5


class Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["system", "eval", "getattr", "import", "fromfile"])
def test_a_hostile_pickle_is_refused_and_not_run(name: str, protocol: int, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    calls = {
        "system": Hostile(os.system, f"touch {witness}"),
        "eval": Hostile(eval, f"open({str(witness)!r}, 'w')"),
        "getattr": Hostile(getattr, np.ndarray, "tofile"),
        "import": Hostile(__import__, "os"),
        "fromfile": Hostile(np.fromfile, str(witness)),
    }
    path = write(tmp_path / "hostile.pkl", {"split": {}, "annotations": [calls[name]]}, protocol)
    with pytest.raises(
        DataError, match=r"hostile\.pkl is refused: it needs .*, but only numpy arrays"
    ) as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
    assert not witness.exists()


def text(value: bytes) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value


STACK_GLOBAL = b"\x93"
RECORDS = b"(K\x03" + text(b"|") + b"N(" + text(b"a") + b"t}Nt"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (text(b"os") + text(b"system") + STACK_GLOBAL, "needs os.system"),
        (b"cos\nsystem\n", "needs os.system"),
        (b"(S'x'\nios\nsystem\n", "needs os.system"),
        (
            text(b"collections") + text(b"OrderedDict.fromkeys") + STACK_GLOBAL,
            "needs collections.OrderedDict.fromk",
        ),
        (
            text(b"builtins") + text(b"set.__class__") + STACK_GLOBAL,
            "needs builtins.set.__class__",
        ),
        (b"Px\n", "damaged or not a pickle"),  # persistent ids
        (b"\x82\x01", "damaged or not a pickle"),  # the extension registry
        (b"\x97", "damaged or not a pickle"),  # a buffer out of band
        (
            b"cnumpy\ndtype\n}" + text(b"__doc__") + text(b"x") + b"sb",
            "sets the state of an object of type function",
        ),
        (
            b"ccollections\nOrderedDict\n)R}" + text(b"x") + b"K\x01sb",
            "sets the state of an object of type OrderedDict",
        ),
        (b"cnumpy\ndtype\n(" + text(b"O8") + b"tR", "array of type 'O8'"),
        (b"cnumpy\ndtype\n(" + text(b"i4,f8") + b"tR", "array of type 'i4,f8'"),
        (b"cnumpy\ndtype\n(" + text(b"V8") + b"tR", "array of type 'V8'"),
        (b"cnumpy\ndtype\n(" + text(b"f4") + b"tR" + RECORDS + b"b", "array of records"),
        (b"cbuiltins\nbytes\n(J\xff\xff\xff\x7ftR", "makes bytes from a value of type int"),
        (b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR", "makes bytes from a value of type int"),
    ],
)
def test_content_that_no_data_file_has_is_refused(
    body: bytes, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + body + b".")
    with pytest.raises(DataError, match=sentence) as caught:
        read_pickle(tmp_path / "x.pkl")
    assert "\n" not in str(caught.value)


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "objects.pkl", np.array([{}, None], dtype=object))
    with pytest.raises(DataError, match="array of type 'O8'"):
        read_pickle(path)


def dtype_of(code: bytes, order: bytes) -> bytes:
    """Return a finished dtype; an order of `|` means that the type has none."""
    state = b"(K\x03" + text(order) + b"NNN" + 2 * b"J\xff\xff\xff\xff" + b"K\x00tb"
    return b"cnumpy\ndtype\n(" + text(code) + b"tR" + state


def array_of(shape: bytes, data: bytes = b"C\x04abcd") -> bytes:
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + b"C\x01btR"
    return made + b"(K\x01(" + shape + b"t" + dtype_of(b"f4", b"<") + b"\x89" + data + b"tb"


HUGE = b"\x8a\x05" + struct.pack("<q", 2**38)[:5]
TERABYTE = struct.pack("<Q", 2**40)
SCALAR = b"cnumpy.core.multiarray\nscalar\n("
#: Name: the pickle, and the end of what the reader says about it.
BOMBS = {
    "memo index": (b"Nr\xff\xff\xff\x7f0N", r"^None$"),  # harmless here, so it is read
    "bytes": (b"\x8e" + TERABYTE, "seek out of range"),
    "bytearray": (b"\x96" + TERABYTE, "seek out of range"),
    "text": (b"\x8d" + TERABYTE, "EOFError"),
    "frame": (b"\x95" + TERABYTE, "pop from empty list"),
    "number": (b"\x8b\xff\xff\xff\x7f", "EOFError"),
    "shape": (array_of(HUGE), "buffer is too small"),
    "shapes": (array_of(b"J\x00\x00\x00\x40" * 2), "buffer is too small"),
    # As keys, which are hashed.
    "tuples": (b"})" + b"\x85" * 3_000_000 + b"Ns", "tuples that are nested too deep"),
    "more tuples": (b"})" + b"K\x01\x86" * 1_000_000 + b"Ns", "tuples that are nested too deep"),
    "scalar": (SCALAR + dtype_of(b"S2000000000", b"|") + b"C\x01atR", "buffer is too small"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_bytes_claim_no_memory(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(b"\x80\x04" + BOMBS[name][0] + b".")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from proto_gcn.data.files.pickle_file import read_pickle\n"
        "from proto_gcn.errors import DataError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: print(read_pickle(Path(sys.argv[1])))\n"
        "except DataError as error: print(error)\n"
        "sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 20_000)\n"
    )
    limit = (2 * 2**30, 2 * 2**30)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.pkl")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )
    assert done.returncode == 0, done.stderr
    assert re.search(BOMBS[name][1], done.stdout), done.stdout


def test_a_small_array_written_like_the_bombs_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + array_of(b"K\x01") + b".")
    assert read_pickle(tmp_path / "x.pkl").tobytes() == b"abcd"


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04", pickle.dumps({"a": np.zeros(99)})[:-40], b"\x80\x09."]
)
def test_a_damaged_file_is_reported_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.pkl is damaged or not a pickle") as caught:
        read_pickle(tmp_path / "x.pkl")
    assert "\n" not in str(caught.value)


def test_a_file_cut_at_any_byte_is_reported_in_one_sentence(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.arange(3), "b": [{"c": (1, "x" * 300)}]}, 4)
    for end in itertools.chain(range(1, len(whole), 7), [len(whole) - 1]):
        (tmp_path / "x.pkl").write_bytes(whole[:end])
        with pytest.raises(DataError, match="damaged or not a pickle"):
            read_pickle(tmp_path / "x.pkl")


def test_an_io_error_is_not_reported_as_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({}))

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(mmap, "mmap", broken)
    with pytest.raises(OSError, match="Input/output error") as raised:
        read_pickle(tmp_path / "x.pkl")
    assert raised.value.filename == str(tmp_path / "x.pkl")
