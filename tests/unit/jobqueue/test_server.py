"""The server itself: its settings, its absence, its events."""

from typing import Any

import pytest

from devtools.testbed.fakes import NOW
from jobqueue import errors
from jobqueue.service.health import ProblemCode, WarningCode
from jobqueue.store.client import Store
from tests.unit.jobqueue.acts import leader, run, submit


@pytest.fixture
def raw_redis(valkey: Any) -> Any:
    """Return a client for a real server only: fakeredis has no INFO and no CONFIG."""
    return valkey


class TestRedisItself:
    def test_an_evicting_redis_is_refused(self, store: Store, raw_redis) -> None:
        raw_redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            problem = store.problem()
        finally:
            raw_redis.config_set("maxmemory-policy", "noeviction")
        assert problem
        assert problem.code == ProblemCode.REDIS_EVICTS
        assert "maxmemory-policy allkeys-lru" in problem.message
        assert store.problem() is None

    def test_weak_durability_is_a_warning(self, store: Store) -> None:
        assert [each.code for each in store.warnings()] == [WarningCode.AOF_OFF]

    def test_away(self) -> None:
        with pytest.raises(errors.StoreUnavailable, match="cannot be reached"):
            Store.connect("redis://127.0.0.1:1/0").queue_length()

    def test_events_tell_each_transition_and_who_wrote_it(self, store: Store) -> None:
        last = store.last_event_id()
        run(store, leader(store), submit(store))
        last, events = store.wait_events(last, 1)
        assert [(event["to"], event["by"]) for event in events] == [
            ("queued", "api"),
            ("admitted", "scheduler"),
            ("running", "scheduler"),
        ]
        assert store.wait_events(last, 0.01) == (last, [])


def test_a_node_is_dead_until_it_is_declared_alive(store: Store) -> None:
    store.request_resume(NOW)
    assert store.dead_nodes() == {}
    store.declare_dead("gpu-2", NOW)
    assert store.dead_nodes() == {"gpu-2": NOW}
    assert store.declare_alive("gpu-2")
    assert not store.declare_alive("gpu-2")
    assert (store.dead_nodes(), store.resume_requested_at()) == ({}, NOW)
