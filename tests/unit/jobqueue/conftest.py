"""The tests of the store run on two servers: a real Valkey, and fakeredis with its Lua."""

from typing import Any

import fakeredis
import pytest
import redis

from jobqueue.store.client import Store


@pytest.fixture
def valkey(valkey_url: str) -> "redis.Redis":
    """Return a client of redis-py for an empty Valkey."""
    client = redis.Redis.from_url(valkey_url, decode_responses=True)
    client.flushall()
    return client


@pytest.fixture(params=["valkey", "fakeredis"])
def raw_redis(request: pytest.FixtureRequest) -> Any:
    """Return a client for an empty server, once for each kind of server."""
    if request.param == "valkey":
        return request.getfixturevalue("valkey")
    return fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)


@pytest.fixture
def store(raw_redis: Any) -> Store:
    """Return a store on the same server as `raw_redis`."""
    return Store(raw_redis)
