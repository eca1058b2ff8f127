"""Test what the images contain, and what they do not."""

import json
import re
import tomllib

import pytest

from devtools import ROOT
from docker.lock import IMAGES
from tests.images.conftest import NAMES, Start
from tests.images.container import Image

#: image -> what of ours is in it
OURS = {
    "queue-manager": {"gpuq", "jobqueue", "queue_manager", "workflows"},
    "scheduler": {"jobqueue", "scheduler", "workflows"},
    "resource-monitor": {"jobqueue", "resource_monitor"},
    "proto-gcn": {"proto_gcn"},
}
#: library -> the images that it may be in
WHERE = {
    "kubernetes": {"scheduler"},
    "torch": {"proto-gcn"},
    "flask": {"queue-manager", "resource-monitor"},
    "redis": {"queue-manager", "scheduler"},
    "click": {"queue-manager", "scheduler", "resource-monitor"},  # of flask, of apprise
    "pytest": set(),
}
NOT_IN = ("pip", "pip3", "gcc", "cc", "c++", "make", "ld", "git")
LIST = (
    "import importlib.metadata as m, json; "
    "print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"
)
IMPORTS = (
    "import importlib.util as u; "
    "print([name for name in ('pip', 'setuptools', 'ensurepip') if u.find_spec(name)])"
)


def test_the_tables_name_every_image() -> None:
    assert set(OURS) == set(IMAGES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_our_packages(images: dict[str, Image], name: str) -> None:
    found = {path.name for path in (images[name].root / "app").iterdir()}
    assert {one for one in found if one.isidentifier() and one != "bin"} == OURS[name]
    assert ("bin" in found) is (name == "queue-manager")  # where the command `gpuq` is


@pytest.mark.parametrize("name", NAMES)
def test_libraries_are_those_of_the_lock(start: Start, name: str) -> None:
    container = start(name, command=["python", "-c", LIST])
    assert container.process.wait(60) == 0, container.log
    found = {_canonical(one) for one in json.loads(container.log)} - {"gpuq-lab"}
    locked = _locked(name)
    assert found <= locked
    assert {_canonical(re.split(r"[^\w-]", line)[0]) for line in _direct(name)} - {
        "gpuq-lab"
    } <= found
    assert {one for one in WHERE if one in found} == {
        one for one, where in WHERE.items() if name in where
    }


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_builds_or_installs(start: Start, name: str) -> None:
    container = start(
        name, command=["sh", "-c", f'command -v {" ".join(NOT_IN)}; python -c "{IMPORTS}"; id -u']
    )
    container.process.wait(60)
    assert container.log.split("\n") == [SETUPTOOLS.get(name, "[]"), "1000", ""]


#: torch itself requires setuptools.
SETUPTOOLS = {"proto-gcn": "['setuptools']"}


@pytest.mark.parametrize("name", NAMES)
def test_what_an_image_says_of_itself(images: dict[str, Image], name: str) -> None:
    config = images[name].config
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "version"
    ]
    assert config["User"] == "1000:1000"
    assert config["Labels"]["org.opencontainers.image.title"] == name
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert ("Healthcheck" in config) is (name != "proto-gcn")
    assert not config.get("Entrypoint")
    assert config["Cmd"][0] == "python"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_build_stays(images: dict[str, Image], name: str) -> None:
    places = ("build", "run/secrets/pip.conf", "run/secrets/ca.pem", "root/.cache", "root/.config")
    assert [path for path in places if _size(images[name], path)] == []


def _size(image: Image, path: str) -> int:
    place = image.root / path
    return (
        len(list(place.iterdir()))
        if place.is_dir()
        else place.stat().st_size
        if place.exists()
        else 0
    )


def _locked(name: str) -> set[str]:
    lock = (ROOT / "docker" / name / "requirements.txt").read_text(encoding="utf-8")
    return {_canonical(found) for found in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}


def _direct(name: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [
        line
        for extra in IMAGES[name]
        for line in (extras[extra] if extra else project["dependencies"])
    ]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
