"""An index with a PyTorch "CPU build" of a few bytes, because the real one's index is not reached
from everywhere.

What proto-gcn's Dockerfile does for TORCH=cpu is so done in full: index, version, hash. When the
image is started, the PyTorch that `make setup` installed here, of the same version, is mounted over
the empty package.
"""

import hashlib
import platform
import re
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution, version
from pathlib import Path

from tests.images.container import Image

#: Where the index listens if it can: a build with another address in its arguments starts over.
PORT = 18765
SITE_PACKAGES = Path(sysconfig.get_path("platlib"))


@contextmanager
def stand_in_index(folder: Path) -> Iterator[dict[str, str]]:
    """Serves the index on loopback; yields the variables that `make images` takes."""
    wheel = _write_wheel(folder / "torch")
    handler = partial(_Quiet, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    except OSError:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        yield {
            "TORCH_INDEX_URL": f"http://127.0.0.1:{server.server_port}/",
            "TORCH_HASH": f"sha256:{digest}",
        }
    finally:
        server.shutdown()
        server.server_close()


def mounts_of_torch(image: Image) -> dict[str, Path]:
    """Where this environment's PyTorch, and what it loads of CUDA when it is imported, is to stand
    in the image.
    """
    (libraries,) = (image.root / "opt" / "venv" / "lib").glob("python3.*/site-packages")
    inside = libraries.parent.name
    assert inside == f"python{platform.python_version().rpartition('.')[0]}", (
        f"The image has {inside}, which cannot load the PyTorch of this virtual environment's "
        f"Python {platform.python_version()}: make the environment with /usr/bin/python3, or set "
        "TORCH=cuda to build the whole image."
    )
    at = Path("/") / libraries.relative_to(image.root)
    names = {
        path.parts[0] for path in distribution("torch").files or () if path.suffix == ".py"
    } | {"nvidia"}
    return {
        str(at / name): SITE_PACKAGES / name
        for name in sorted(names)
        if (SITE_PACKAGES / name).is_dir()
    }


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


def _write_wheel(folder: Path) -> Path:
    """The same bytes every time, so that its hash stays the same."""
    folder.mkdir()
    number = re.sub(r"\+.*", "", version("torch"))
    info = f"torch-{number}.dist-info"
    files = {
        "torch/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {number}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: gpuq\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    path = folder / f"torch-{number}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return path
