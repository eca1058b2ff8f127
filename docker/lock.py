"""Pin the images' requirements as in constraints.txt, with the hash of every file (`make lock`).

docker/<image>/requirements.txt         what the image's service imports, and nothing else
docker/proto-gcn/requirements-cpu.txt   the same without PyTorch and CUDA, which have another index
docker/build-requirements.txt           what builds the wheel of our own packages; in no final image
"""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

#: image -> the extras it installs; "" is the base install, the `gpuq` command
IMAGES = {
    "queue-manager": ("", "queue-manager"),
    "scheduler": ("scheduler", "notify"),
    "resource-monitor": ("resource-monitor",),
    "proto-gcn": ("trainer",),
}
#: PyTorch, and what its CPU build does not need.
_CUDA = re.compile(r"torch|triton|cuda-.+|nvidia-(?!ml-py$).+")


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for image, extras in IMAGES.items():
        compile_(requirements(project, extras), ROOT / "docker" / image / "requirements.txt")
    cpu = ROOT / "docker" / "proto-gcn" / "requirements-cpu.txt"
    compile_(requirements(project, IMAGES["proto-gcn"]), cpu, left_out=cuda_packages())
    compile_(project["build-system"]["requires"], ROOT / "docker" / "build-requirements.txt")


def requirements(project: dict[str, Any], extras: tuple[str, ...]) -> list[str]:
    """Return the requirements of these extras as they are in pyproject.toml."""
    optional = project["project"]["optional-dependencies"]
    return [
        line
        for extra in extras
        for line in (optional[extra] if extra else project["project"]["dependencies"])
    ]


def cuda_packages() -> list[str]:
    names = (
        line.partition("==")[0] for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    )
    return [name for name in names if _CUDA.fullmatch(name)]


def compile_(wanted: list[str], path: Path, left_out: list[str] | None = None) -> None:
    options = [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--constraint",
        str(CONSTRAINTS),
    ]
    options += ["--no-emit-index-url", "--no-annotate", "--no-header", "--upgrade", "--quiet"]
    options += [f"--no-emit-package={name}" for name in left_out or []]
    command = ["uv", "pip", "compile", "-", *options, "--output-file", str(path)]
    subprocess.run(
        command, input="\n".join(wanted), text=True, check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
