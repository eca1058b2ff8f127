"""The scripts and the table of keys agree."""

import re
from pathlib import Path

from jobqueue.store import keys


def test_the_scripts_use_the_keys_of_the_table() -> None:
    folder = Path(keys.__file__).parent / "scripts"
    lua = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.lua"))
    used = set(re.findall(r"redis\.call\('[A-Z]+', '([a-z_]+:?:?)'", lua))
    documented = set(re.findall(r"^([a-z_]+:{0,2})", str(keys.__doc__), re.MULTILINE)) | {
        "scheduler_epoch",
        "durations:",
    }
    assert len(used) > 10
    assert used <= documented


def test_every_script_names_its_arguments_first() -> None:
    for path in (Path(keys.__file__).parent / "scripts").glob("*.lua"):
        code = re.sub(r"^\s*--.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        named = r"\s*local [^=]+ = unpack\(ARGV[^)]*\)\n(local \w+ = rest\(\d+\)\n)?"
        if path.stem not in ("lib", "mean_durations"):
            code, count = re.subn(rf"\A{named}", "", code)
            assert count == 1, path
            assert "ARGV" not in code, path


def test_lines_of_the_scripts_are_short() -> None:
    for path in (Path(keys.__file__).parent / "scripts").glob("*.lua"):
        assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 100, path
