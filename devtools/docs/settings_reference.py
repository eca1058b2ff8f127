"""docs/settings.md, from the settings classes of the three services: names, defaults, rules, and
the comments there.
"""

import ast
import inspect
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from queue_manager.settings import QueueManagerSettings
from resource_monitor.settings import Settings as MonitorSettings
from scheduler.settings import SchedulerSettings

SERVICES: Mapping[str, type[BaseSettings]] = {
    "queue manager": QueueManagerSettings,
    "scheduler": SchedulerSettings,
    "resource monitor": MonitorSettings,
}

#: What a value must be, by the name of its type in the settings' source.
RULES = {
    "RedisUrl": "a URL: `redis://`, `rediss://` or `unix://`",
    "HttpUrl": "a URL: `http://` or `https://`",
    "LogLevel": "`DEBUG`, `INFO`, `WARNING` or `ERROR`",
    "Seconds": "seconds, above 0",
    "Percent": "0 to 100, or `off`",
    "Megabytes": "MB (MiB), 0 or more, or `off`",
    "Path": "a path",
    "str": "a host name or an address",
    "Annotated[str, AfterValidator(_check_node_name)]": "a host name",
    "Annotated[tuple[str, ...], NoDecode]": "URLs, separated by spaces or commas",
    "Namespace": "1 to 63 of a-z, 0-9 and -",
    "Path | None": "a path",
    "Annotated[UnixIds, NoDecode]": "a path",
    "Annotated[dict[str, Path], NoDecode]": "`image=folder`, separated by commas",
}

_HEAD = """# Settings

`make docs` generates this page from the settings classes. All settings are environment variables;
`gpuq up` passes on those that are set in its own environment, and sets the addresses, ports and
folders itself. A service logs its settings when it starts, without passwords. With a wrong value it
does not start, and reports what is wrong in one sentence.
"""
_COLUMNS = "| variable | default | value | what |\n|---|---|---|---|"


@dataclass(frozen=True)
class Setting:
    """One environment variable of one service."""

    name: str
    default: str
    rule: str
    comment: str


def settings_reference() -> str:
    found = {
        service: {setting.name: setting for setting in _settings(kind)}
        for service, kind in SERVICES.items()
    }
    parts = [_HEAD]
    for owners, settings in _by_owners(found).items():
        title = " and ".join(filter(None, (", ".join(owners[:-1]), owners[-1])))
        parts.append(f"## {title[0].upper()}{title[1:]}\n\n{_COLUMNS}")
        parts.append("\n".join(_row(setting) for setting in settings) + "\n")
    return "\n".join(parts)


def _by_owners(found: Mapping[str, Mapping[str, Setting]]) -> dict[tuple[str, ...], list[Setting]]:
    """What several services read first, each variable once; raises ValueError where they do not
    agree about one.
    """
    groups: dict[tuple[str, ...], list[Setting]] = {}
    for name in dict.fromkeys(name for settings in found.values() for name in settings):
        owners = tuple(service for service, settings in found.items() if name in settings)
        groups.setdefault(owners, []).append(_agreed([found[owner][name] for owner in owners]))
    return dict(sorted(groups.items(), key=lambda group: -len(group[0])))


def _agreed(same: list[Setting]) -> Setting:
    first = same[0]
    if any(other.default != first.default for other in same):
        raise ValueError(f"the services have different defaults for {first.name}")
    comments = dict.fromkeys(setting.comment for setting in same if setting.comment)
    return Setting(first.name, first.default, first.rule, "; ".join(comments))


def _row(setting: Setting) -> str:
    return f"| `{setting.name}` | {setting.default} | {setting.rule} | {setting.comment} |"


def _settings(kind: type[BaseSettings]) -> Iterator[Setting]:
    source = Path(inspect.getfile(kind)).read_text(encoding="utf-8").splitlines()
    written = _annotations(kind, source)
    for name, field in kind.model_fields.items():
        annotation, first, last = written[name]
        yield Setting(
            name.upper(), _default(field), _rule(annotation, field), _comment(source, first, last)
        )


def _annotations(kind: type[BaseSettings], source: list[str]) -> dict[str, tuple[str, int, int]]:
    """Of each field its type as it is written, and its first and last line."""
    tree = ast.parse("\n".join(source))
    body = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    return {
        node.target.id: (ast.unparse(node.annotation), node.lineno, node.end_lineno or node.lineno)
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _comment(source: list[str], first: int, last: int) -> str:
    """Return the field's comment: after it, inside its value, or in lines of `#:` above it."""
    for line in source[first - 1 : last]:
        _, mark, behind = line.partition("  #: ")
        if mark:
            return behind.strip()
    above: list[str] = []
    for line in reversed(source[: first - 1]):
        if not line.strip().startswith("#: "):
            break
        above.insert(0, line.strip().removeprefix("#: "))
    return " ".join(above)


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value == socket.gethostname():
        return "the host's name"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "" if value in ((), {}, None) else f"`{value}`"


def _rule(annotation: str, field: FieldInfo) -> str:
    """Raises KeyError for a type that RULES has to learn."""
    if annotation in RULES:
        return RULES[annotation]
    kind = field.annotation
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is bool:
        return "`true` or `false`"
    if kind in (int, float):
        return f"{'a whole number' if kind is int else 'a number'}{_limits(field)}"
    return RULES[annotation]


def _limits(field: FieldInfo) -> str:
    low = next(
        (limit.ge for limit in field.metadata if isinstance(limit, annotated_types.Ge)), None
    )
    above = next(
        (limit.gt for limit in field.metadata if isinstance(limit, annotated_types.Gt)), None
    )
    high = next(
        (limit.le for limit in field.metadata if isinstance(limit, annotated_types.Le)), None
    )
    lowest = low if above is None else above + 1  # of whole numbers; the others have names in RULES
    return f", {lowest} or more" if high is None else f", {lowest} to {high}"
