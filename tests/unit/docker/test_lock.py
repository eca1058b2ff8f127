"""The images' requirements agree with pyproject.toml and constraints.txt and have hashes."""

import re
import tomllib
from pathlib import Path

import pytest

from docker.lock import CONSTRAINTS, IMAGES, ROOT, cuda_packages, requirements

LOCKS = sorted((ROOT / "docker").rglob("*requirements*.txt"))
_PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def pins(path: Path) -> set[tuple[str, str]]:
    return set(_PIN.findall(path.read_text(encoding="utf-8")))


def names(path: Path) -> set[str]:
    return {name for name, _ in pins(path)}


def test_there_is_a_lock_for_every_image() -> None:
    assert {path.parent.name for path in LOCKS} == {*IMAGES, "docker"}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_pin_is_hashed(path: Path) -> None:
    for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8").strip()):
        assert re.fullmatch(
            r"[\w.-]+==\S+( ; .+?)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry
        ), entry


@pytest.mark.parametrize("image", IMAGES)
def test_versions_are_those_of_the_constraints(image: str) -> None:
    assert pins(ROOT / "docker" / image / "requirements.txt") - pins(CONSTRAINTS) == set()


@pytest.mark.parametrize("image", IMAGES)
def test_every_requirement_of_an_image_is_locked(image: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {re.split(r"[^\w.-]", line)[0] for line in requirements(project, IMAGES[image])}
    assert wanted <= names(ROOT / "docker" / image / "requirements.txt")


def test_only_the_scheduler_has_the_kubernetes_client() -> None:
    assert [path.parent.name for path in LOCKS if "kubernetes" in names(path)] == ["scheduler"]


def test_the_cpu_lock_is_the_cuda_lock_without_cuda() -> None:
    folder = ROOT / "docker" / "proto-gcn"
    whole, cpu = names(folder / "requirements.txt"), names(folder / "requirements-cpu.txt")
    assert whole - cpu == set(cuda_packages()) & whole
    assert {"torch", "triton"} <= whole - cpu
    assert "nvidia-ml-py" in cpu
