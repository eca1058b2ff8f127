"""What a submission writes, and what it refuses before it writes."""

import json

import pytest

from devtools.testbed.fakes import NOW
from jobqueue import errors
from jobqueue.job import Job, JobSpec
from jobqueue.store.client import Caps, Store
from tests.unit.jobqueue.acts import (
    leader,
    spec,
    submit,
)


class TestEnqueue:
    def test_the_seeds_keys_by_hand(self, store: Store, raw_redis) -> None:
        for user in ("user1", "user2", "user3"):
            submit(store, user)
        assert raw_redis.llen("job_queue") == 3
        entries = [json.loads(raw) for raw in raw_redis.lrange("job_queue", 0, -1)]
        assert [entry["user"] for entry in entries] == [
            "user3",
            "user2",
            "user1",
        ]  # LPUSH: the next one is the last
        assert entries[-1] == {
            "user": "user1",
            "config": "config.yaml",
            "workdir": "/data/user1",
            "timestamp": "2026-11-18T11:06:40",
            "job_id": "user1_20261118110640",
            "v": 1,
        }

    def test_positions_and_ids(self, store: Store) -> None:
        first, second = store.enqueue(spec(), NOW, Caps()), store.enqueue(spec(), NOW, Caps())
        assert (first.position, second.position) == (1, 2)
        assert second.job_id == f"{first.job_id}_2"
        assert store.position(second.job_id) == 2

    def test_config_text_stays_as_submitted(self, store: Store) -> None:
        text = "a: ü {{workflow.name}} \"'\n\t%s\x7f"
        job_id = store.enqueue(
            JobSpec("u", "c.yaml", "/data/u", config_text=text), NOW, Caps()
        ).job_id
        assert store.job(job_id).spec.config_text == text

    def test_idempotency(self, store: Store) -> None:
        first = store.enqueue(spec(), NOW, Caps(), "key", "digest")
        again = store.enqueue(spec(), NOW + 9, Caps(), "key", "digest")
        assert again.existing
        assert again.job_id == first.job_id
        assert store.queue_length() == 1
        with pytest.raises(errors.IdempotencyConflict, match=first.job_id):
            store.enqueue(spec(), NOW, Caps(), "key", "other")

    def test_an_idempotency_key_outlives_the_job(self, store: Store, raw_redis) -> None:
        first = store.enqueue(spec(), NOW, Caps(), "key", "digest")
        store.cancel(first.job_id, NOW)
        leader(store).trim(NOW + 1, 0)
        assert store.enqueue(spec(), NOW, Caps(), "key", "digest").job_id == first.job_id
        assert 6 * 86400 < raw_redis.ttl("idempotency:user1:key") <= 7 * 86400

    @pytest.mark.parametrize(("caps", "scope"), [(Caps(2, 100), "user"), (Caps(100, 2), "total")])
    def test_caps(self, store: Store, caps: Caps, scope: str) -> None:
        for _ in range(2):
            store.enqueue(spec(), NOW, caps)
        with pytest.raises(errors.QueueFull) as caught:
            store.enqueue(spec(), NOW, caps)
        assert (caught.value.scope, caught.value.limit) == (scope, 2)
        assert store.queue_length() == 2

    @pytest.mark.parametrize(
        "key", ["job_queue", "queue_order", "user_queue:{user}", "user_jobs:{user}", "events"]
    )
    def test_a_key_of_another_type_changes_nothing(self, store: Store, raw_redis, key: str) -> None:
        key = key.format(user=spec().user)
        raw_redis.set(key, "mine")
        with pytest.raises(errors.StoreUnavailable, match="another type"):
            submit(store)
        assert raw_redis.keys("*") == [key]


def test_job_round_trip(store: Store) -> None:
    job_id = store.enqueue(
        spec(name="tuning", gpus=2, time_limit_s=60, workflow="other"), NOW, Caps()
    ).job_id
    job = store.job(job_id)
    assert job.spec == spec(name="tuning", gpus=2, time_limit_s=60, workflow="other")
    assert job.run_folder == f"/data/user1/runs/{job_id}"
    shown = job.to_dict()
    assert shown["submitted_at"] == "2026-11-18T11:06:40.000Z"
    assert "config_text" not in json.dumps(shown)
    assert tuple(dict.fromkeys(Job.LIST_FIELDS)) == Job.LIST_FIELDS
