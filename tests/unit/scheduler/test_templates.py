"""Templates are parsed once until their file changes."""

import shutil
from pathlib import Path

import pytest

from scheduler import templates
from scheduler.templates import Templates
from tests.unit.scheduler.conftest import TEMPLATES, Rig
from workflows.render import TemplateError, load_template

NAME = "proto-gcn"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(shutil.copy(TEMPLATES / "proto-gcn-workflow.yaml", tmp_path))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that were parsed."""
    names: list[str] = []

    def load(folder: Path, name: str) -> object:
        names.append(name)
        return load_template(folder, name)

    monkeypatch.setattr(templates, "load_template", load)
    return names


def test_a_template_is_parsed_once(file: Path, parsed: list[str]) -> None:
    found = Templates(file.parent)
    assert found.load(NAME) is found.load(NAME)
    assert found.broken([NAME, NAME]) == {}
    assert parsed == [NAME]


@pytest.mark.parametrize("replace", [False, True])
def test_a_changed_file_is_parsed_again(file: Path, parsed: list[str], replace: bool) -> None:
    found = Templates(file.parent)
    before = found.load(NAME)
    text = file.read_text().replace("name: proto-gcn", "name: proto-gcm")  # as long as before
    fresh = file.with_suffix(".new") if replace else file
    fresh.write_text(text)
    fresh.replace(file)
    assert found.load(NAME) != before
    assert parsed == [NAME] * 2


def test_a_broken_template_is_parsed_once_and_again_when_it_was_fixed(
    file: Path, parsed: list[str]
) -> None:
    good, found = file.read_text(), Templates(file.parent)
    file.write_text("kind: [")
    for _ in range(3):
        assert "is not YAML" in found.broken([NAME])[NAME]
    with pytest.raises(TemplateError, match="is not YAML"):
        found.load(NAME)
    assert parsed == [NAME]
    file.write_text(good)
    assert found.broken([NAME]) == {}


def test_a_missing_template_is_found_when_it_is_there(file: Path) -> None:
    hidden, found = file.rename(file.with_suffix(".hidden")), Templates(file.parent)
    assert "cannot be read" in found.broken([NAME])[NAME]
    hidden.rename(file)
    assert found.load(NAME)["kind"] == "Workflow"


def test_cycles_parse_a_template_once(rig: Rig, parsed: list[str]) -> None:
    for user in "abc":
        rig.submit(user)
    scheduler = rig.scheduler()
    for _ in range(3):
        scheduler.run_cycle()
        scheduler.run_cycle(full=False)
    assert len(rig.engine.created) == 1
    assert parsed == [NAME]
