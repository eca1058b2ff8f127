"""The map of users to Unix accounts: what it may contain, and how it is used."""

from pathlib import Path

import pytest

from jobqueue.service.settings import load_settings
from scheduler.settings import SchedulerSettings
from workflows.unix_ids import load_unix_ids


def written(folder: Path, text: str) -> Path:
    path = folder / "unix-ids.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_map(tmp_path: Path) -> None:
    path = written(tmp_path, "ann: {uid: 1001, gid: 2001}\nbob: {gid: 2001, uid: 1002}\n")
    assert load_unix_ids(path) == {"ann": (1001, 2001), "bob": (1002, 2001)}


def test_an_empty_file_maps_nobody(tmp_path: Path) -> None:
    assert load_unix_ids(written(tmp_path, "# nobody yet\n")) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[ann]", "must map users to accounts"),
        ("ann: 1001", "account of ann must be like"),
        ("ann: {uid: 1001}", "account of ann must be like"),
        ("ann: {uid: 1001, gid: 1001, groups: [3]}", "account of ann must be like"),
        ("ann: {uid: 0, gid: 1001}", "never root's 0"),
        ("ann: {uid: 1001, gid: 0}", "never root's 0"),
        ("ann: {uid: true, gid: 1001}", "account of ann must be like"),
        ("ann: {uid: '1001', gid: 1001}", "account of ann must be like"),
        ("ann: {uid: 4294967296, gid: 1001}", "account of ann must be like"),
        ("ann: {", "not YAML"),
        ("ann: \udcff", "not YAML"),
    ],
)
def test_a_map_that_breaks_a_rule(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "unix-ids.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=says):
        load_unix_ids(path)


def test_as_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SchedulerSettings().unix_ids == {}
    monkeypatch.setenv("UNIX_IDS", "")
    assert SchedulerSettings().unix_ids == {}
    monkeypatch.setenv("UNIX_IDS", str(written(tmp_path, "ann: {uid: 1001, gid: 1001}")))
    assert load_settings(SchedulerSettings).unix_ids == {"ann": (1001, 1001)}
    monkeypatch.setenv("UNIX_IDS", str(tmp_path / "absent"))
    with pytest.raises(SystemExit):
        load_settings(SchedulerSettings)
    assert (
        "is refused: the file cannot be read (No such file or directory)" in capsys.readouterr().err
    )
