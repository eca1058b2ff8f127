"""Read a training's configuration from a named file or the submission, and check its text."""

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from queue_manager.files.disk import LeadsOut, config_names, open_inside
from queue_manager.http.problems import Problem, bad_field, bad_fields, unknown_name
from queue_manager.submission.config_check import BrokenSchema, Schema, broken_keys

MAX_BYTES = 256 * 1024
_TOO_LONG = f"must not be longer than {MAX_BYTES // 1024} KiB"
#: The file name of a configuration that came inside the submission.
INLINE_NAME = "config.yaml"


def read_named(name: str, config_root: Path) -> str:
    """Return the text of the file `name` below the config folder; raises Problem 400."""
    try:
        with open_inside(config_root / name, config_root) as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        hint = unknown_name(name, config_names(config_root)).hint
        raise bad_field("config", f"there is no file {name} in the config folder", hint) from None
    except LeadsOut:
        raise bad_field("config", f"{name} is a symbolic link out of the config folder") from None
    except OSError as error:
        detail = f"The config file {name} cannot be read ({error.strerror})."
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error
    if len(data) > MAX_BYTES:
        raise bad_field("config", _TOO_LONG)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_field("config", f"{name} is not UTF-8 (byte {error.start})") from error


def write_inline(config: dict[str, Any]) -> str:
    """Return a configuration that came as a JSON object as YAML text; raises Problem 400."""
    if len(json.dumps(config)) > MAX_BYTES:  # checked first, because writing YAML is slow
        raise bad_field("config", _TOO_LONG)
    text = yaml.dump(config, Dumper=_Dumper, allow_unicode=True, sort_keys=False)
    if len(text.encode()) > MAX_BYTES:
        raise bad_field("config", _TOO_LONG)
    return str(text)


def check(text: str, name: str, schema: Callable[[], Schema | None]) -> None:
    """Raise Problem 400 if the text is not accepted YAML or breaks the template's schema."""
    try:
        broken = broken_keys(text, name, schema())
    except BrokenSchema as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    if broken:
        raise bad_fields(broken)


class _Dumper(yaml.CSafeDumper):
    """Writes no anchors: JSON has none, so two equal texts are just two equal texts."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
