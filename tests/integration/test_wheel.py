"""The wheel works alone when it is built, installed into an empty virtual environment and started.

The other distributions come from the environment of the tests, so that nothing is downloaded; the
checkout is not on the path of the new environment.
"""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from devtools import ROOT
from devtools.testbed.demo import make_small_demo
from devtools.testbed.system import free_port

PACKAGES = (
    "gpuq",
    "jobqueue",
    "proto_gcn",
    "queue_manager",
    "resource_monitor",
    "scheduler",
    "workflows",
)
WHERE = "import importlib, sys; print(*(importlib.import_module(n).__file__ for n in sys.argv[1:]))"
pytestmark = pytest.mark.xdist_group("wheel")


def run(*command: str | Path, folder: Path) -> str:
    """Run a command in `folder`, outside the checkout, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**env, "CPU_PERCENT": "off", "MEMORY_PERCENT": "off", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    run(*build, folder=folder)
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the new virtual environment with the wheel installed."""
    folder = tmp_path_factory.mktemp("environment")
    venv = folder / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, folder=folder)
    python = venv / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", wheel, folder=folder)
    paths = sysconfig.get_paths(vars={"base": str(venv), "platbase": str(venv)})
    # A plain line adds the folder and does not follow the editable installation's own .pth in it.
    others = Path(paths["purelib"]) / "third-party.pth"
    others.write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return venv


def test_every_file_of_our_packages_is_in_the_wheel(wheel: Path) -> None:
    """The wheel also has the data files: Lua scripts, configurations, templates, page, schema."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    files = {str(path.relative_to(ROOT)) for path in ours if path.is_file()}
    assert packed == {name for name in files if "__pycache__" not in name}
    assert {Path(name).suffix for name in packed} >= {".py", ".lua", ".yaml", ".json", ".j2"}


def test_our_packages_are_imported_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    python = environment / "bin" / "python"
    found = run(python, "-c", WHERE, *PACKAGES, folder=tmp_path).split()
    assert len(found) == len(PACKAGES)
    assert [path for path in found if not Path(path).is_relative_to(environment)] == []
    path = run(python, "-c", "import sys; print(*sys.path, sep=chr(10))", folder=tmp_path)
    assert str(ROOT) not in path.splitlines()


def test_the_command_prints_its_version(environment: Path, wheel: Path, tmp_path: Path) -> None:
    version = run(environment / "bin" / "gpuq", "--version", folder=tmp_path)
    assert wheel.name.split("-")[1] in version


def test_the_demo_trains_to_its_end(environment: Path, tmp_path: Path) -> None:
    """It starts the four services as `python -m …`, and the scheduler starts the trainer."""
    folder = tmp_path / "gpuq"
    make_small_demo(folder)
    ports = [f"--{name}={free_port()}" for name in ("port", "monitor-port", "redis-port")]
    up = (environment / "bin" / "gpuq", "up", "--demo", "--data-dir", folder, *ports)
    output = run(*up, folder=tmp_path)
    assert re.search(r"^succeeded: best top-1 [0-9.]+ %$", output, re.MULTILINE), output
    [report] = folder.glob("data/demo/runs/*/report.html")
    assert report.stat().st_size > 0
