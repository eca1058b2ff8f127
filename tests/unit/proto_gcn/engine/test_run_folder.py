"""A folder that belongs to another user: the message has the command that fixes it, which works."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.errors import ConfigError

NOBODY = 65534


@contextmanager
def without_root() -> Iterator[None]:
    """Give up root, which may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder as a kubelet creates it for a missing `subPath`: only root may write there."""
    with tempfile.TemporaryDirectory(
        dir="/tmp"
    ) as made:  # pytest's own folders are closed to others
        Path(made).chmod(0o755)
        folder = Path(made, "ann o'hara")
        folder.mkdir(mode=0o555)
        yield folder


def test_a_folder_of_another_user_is_refused_with_a_command_that_fixes_it(unwritable: Path) -> None:
    run = RunFolder(unwritable / "runs" / "ann_1")
    with without_root(), pytest.raises(ConfigError) as refused:
        run.create()
    said, _, command = str(refused.value).partition("; on the node that has it: ")
    assert said == f"cannot create {run.path}: Permission denied"
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    assert shlex.split(command) == [
        "sudo",
        "install",
        "-d",
        "-o",
        str(owner),
        "-g",
        str(os.getegid()),
        str(unwritable),
    ]
    subprocess.run(shlex.split(command)[1:], check=True)
    with without_root():
        run.create()
    assert run.latest.parent.is_dir()


def test_a_file_in_place_of_the_folder_gets_no_advice_about_permissions(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(ConfigError, match="Not a directory; check WORK_DIR"):
        RunFolder(tmp_path / "runs" / "ann_1").create()
