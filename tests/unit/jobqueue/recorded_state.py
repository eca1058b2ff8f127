"""Load a recorded Redis state into a running server."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recorded"


@dataclass(frozen=True)
class Recorded:
    """What the file says besides the keys themselves."""

    jobs: dict[str, str]  #: what became of a job -> its id
    backup: dict[str, Any]


def load_into(client: Any, name: str) -> Recorded:
    """Write every key of the recording into the server behind this client of redis-py."""
    document = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    writers: dict[str, Callable[[str, Any], Any]] = {
        "string": client.set,
        "hash": lambda key, value: client.hset(key, mapping=value),
        "list": lambda key, value: client.rpush(key, *value),
        "zset": lambda key, value: client.zadd(key, dict(value)),
        "stream": lambda key, value: [client.xadd(key, fields, id) for id, fields in value],
    }
    for key, stored in document["keys"].items():
        writers[stored["type"]](key, stored["value"])
        if "ttl_s" in stored:
            client.expire(key, stored["ttl_s"])
    return Recorded(document["jobs"], document["backup"])
