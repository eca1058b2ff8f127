"""Read YAML strictly: one document without aliases, tags, repeated keys or extreme sizes. Pure."""

import re
from typing import Any

import yaml

from queue_manager.http.problems import short

MAX_DEPTH = 64
#: Python does not write longer numbers in decimal, so no sentence could show them.
_LONGEST_NUMBER = 1000
_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fA-F_xo:]*$")


class NotAccepted(ValueError):
    """The text is not YAML as we accept it; the message is the rule that it breaks."""


def parse(text: str) -> Any:
    """Return the value of the document; raises NotAccepted."""
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise NotAccepted(f"is not YAML: {line}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise NotAccepted(f"is not YAML: {short(' '.join(str(error).split()))}") from error
    except NotAccepted:
        raise
    except (ValueError, OverflowError) as error:  # it only looks like a date or number: 2026-13-45
        raise NotAccepted(f"has a value that cannot be read: {short(str(error))}") from error


class _Loader(yaml.CSafeLoader):
    """Refuses a repeated key; other YAML readers silently use the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            is_scalar = isinstance(key_node, yaml.ScalarNode)
            key = (key_node.tag, key_node.value) if is_scalar else id(key_node)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise NotAccepted(f"line {line} has the key {short(key_node.value)} a second time")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _check_events(text: str) -> None:
    """Check each event before anything is built: aliases expand without limit, tags name types."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if rule := _broken_rule(event, depth):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise NotAccepted(f"line {line} {rule}")


def _broken_rule(event: yaml.Event, depth: int) -> str | None:
    if isinstance(event, yaml.AliasEvent):
        return f"has an alias (*{short(event.anchor)}); write the value out"
    if isinstance(event, yaml.ScalarEvent) and _is_long_number(event):
        return f"has a number of more than {_LONGEST_NUMBER} digits"
    if (tag := getattr(event, "tag", None)) is not None:
        return f"has a tag ({short(tag)}); write plain values"
    if depth > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    return None


def _is_long_number(event: yaml.ScalarEvent) -> bool:
    return (
        event.implicit[0]
        and len(event.value) > _LONGEST_NUMBER
        and _NUMBER.match(event.value) is not None
    )
