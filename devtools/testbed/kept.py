"""This module reads all of a Redis for comparisons; DUMP depends on the order of a hash."""

from typing import Any

import redis


def kept(client: "redis.Redis") -> dict[str, Any]:
    """key -> its value, whatever its type."""
    read: dict[str, Any] = {
        "string": client.get,
        "list": lambda key: client.lrange(key, 0, -1),
        "hash": client.hgetall,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "stream": client.xrange,
    }
    names = sorted(client.keys("*"))
    return {str(name): read[_text(client.type(name))](name) for name in names}


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)
