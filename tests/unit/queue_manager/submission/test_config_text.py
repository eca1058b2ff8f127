"""The text of a configuration: from a file, or from the submission."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from queue_manager.http.problems import FieldError, Problem
from queue_manager.submission.config_check import BrokenSchema, Schema
from queue_manager.submission.config_text import (
    INLINE_NAME,
    MAX_BYTES,
    check,
    read_named,
    write_inline,
)

TOO_LONG = FieldError("config", "must not be longer than 256 KiB")
#: YAML indents every line of it by 120 spaces.
DEEP: dict[str, Any] = reduce(lambda inner, _: {"a": inner}, range(60), {"a": [1] * 4000})


def deep(length: int) -> dict[str, Any]:
    """Return a configuration that is short as JSON, with a text of this length."""
    innermost = {"a": [1] * 2000, "b": "x" * length}
    return reduce(lambda inner, _: {"a": inner}, range(60), innermost)


SCHEMA = Schema('{"required": ["data"]}')


def refused(found: pytest.ExceptionInfo[Problem]) -> FieldError:
    assert found.value.status == 400
    [error] = found.value.errors
    return error


class TestReadNamed:
    def read(self, folder: Path, name: str = "a.yaml") -> FieldError:
        with pytest.raises(Problem) as caught:
            read_named(name, folder)
        return refused(caught)

    def test_it_is_the_files_text(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text("a: größer\n", encoding="utf-8")
        assert read_named("a.yaml", tmp_path) == "a: größer\n"

    @pytest.mark.parametrize("name", ["b.yaml", "a.yaml/b.yaml", "."])
    def test_one_that_does_not_exist_is_refused_with_the_nearest(
        self, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "a.yaml").touch()
        error = self.read(tmp_path, name)
        assert (error.field, error.rule) == (
            "config",
            f"there is no file {name} in the config folder",
        )
        assert error.hint in ("did you mean a.yaml?", "known are a.yaml")

    def test_a_link_out_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        folder = tmp_path / "configs"
        folder.mkdir()
        (tmp_path / "secret").touch()
        (folder / "a.yaml").symlink_to(tmp_path / "secret")
        rule = "a.yaml is a symbolic link out of the config folder"
        assert self.read(folder) == FieldError("config", rule)

    def test_one_that_cannot_be_read_is_not_the_users_fault(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").symlink_to("a.yaml")
        with pytest.raises(Problem) as caught:
            read_named("a.yaml", tmp_path)
        text = "The config file a.yaml cannot be read (Too many levels of symbolic links)."
        assert (caught.value.status, caught.value.detail) == (503, text)

    def test_it_has_at_most_256_kib(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"x" * 262_144)
        assert len(read_named("a.yaml", tmp_path)) == MAX_BYTES == 262_144
        (tmp_path / "a.yaml").write_bytes(b"x" * 262_145)
        assert self.read(tmp_path) == TOO_LONG

    def test_it_is_utf_8(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes(b"a: \xff")
        assert self.read(tmp_path) == FieldError("config", "a.yaml is not UTF-8 (byte 3)")


class TestWriteInline:
    def test_it_is_yaml_in_the_same_order_and_as_it_was_written(self) -> None:
        shared = ["größer"]
        config = {"b": 1, "a": shared, "c": shared}
        text = write_inline(config)
        assert text == "b: 1\na:\n- größer\nc:\n- größer\n"
        assert yaml.safe_load(text) == config
        assert INLINE_NAME == "config.yaml"

    @pytest.mark.parametrize(
        ("config", "is_short"),
        [
            ({"a": "x" * (262_144 - len('{"a": ""}'))}, True),
            ({"a": "x" * (262_145 - len('{"a": ""}'))}, False),
            (DEEP, False),  # short as JSON
        ],
    )
    def test_it_has_at_most_256_kib_as_json_and_as_yaml(
        self, config: dict[str, Any], is_short: bool
    ) -> None:
        if is_short:
            assert write_inline(config)
            return
        with pytest.raises(Problem) as caught:
            write_inline(config)
        assert refused(caught) == TOO_LONG

    def test_as_yaml_it_may_have_exactly_256_kib(self) -> None:
        rest = 262_144 - len(write_inline(deep(1)))
        assert len(write_inline(deep(1 + rest))) == 262_144
        with pytest.raises(Problem):
            write_inline(deep(2 + rest))


class TestCheck:
    def test_a_good_text_passes(self) -> None:
        check("data: a", "a.yaml", lambda: SCHEMA)

    def test_a_broken_one_is_refused(self) -> None:
        with pytest.raises(Problem) as caught:
            check("{}", "a.yaml", lambda: SCHEMA)
        assert refused(caught) == FieldError("config", "a.yaml: data is missing", "add it")

    def test_a_broken_schema_is_not_the_users_fault(self) -> None:
        def broken() -> Schema:
            raise BrokenSchema("It cannot be read.")

        with pytest.raises(Problem) as caught:
            check("{}", "a.yaml", broken)
        assert (caught.value.status, caught.value.detail) == (503, "It cannot be read.")
