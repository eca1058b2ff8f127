"""Damage in Redis is repaired, and unreadable entries are quarantined."""

import json

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import violations
from jobqueue import errors
from jobqueue.job import Job, JobSpec, Result
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Outcome
from tests.unit.jobqueue.acts import (
    DONE,
    EVICTED,
    FAILED,
    admit,
    leader,
    quarantined,
    run,
    spec,
    submit,
)


class TestRepair:
    def test_nothing_to_do(self, store: Store) -> None:
        submit(store)
        assert leader(store).repair(NOW) == ""

    @pytest.mark.parametrize(
        "junk", ["garbage", "{}", '{"user": 1}', "\x00\xff", '{"v": 2}', "[" * 9000]
    )
    def test_junk_in_the_queue_is_quarantined(self, store: Store, raw_redis, junk: str) -> None:
        job_id, lead = submit(store), leader(store)
        raw_redis.rpush("job_queue", junk)
        assert lead.repair(NOW) == "1 queue entries"
        assert quarantined(raw_redis)["raw"] == junk
        assert violations(store, [], [job_id]) == []

    def test_an_overwritten_entry_is_restored_from_its_record(
        self, store: Store, raw_redis
    ) -> None:
        ids, lead = [submit(store, user) for user in ("a", "b", "c")], leader(store)
        raw_redis.lset("job_queue", 1, "garbage")
        raw_redis.lrem("job_queue", 1, store.job(ids[2]).entry)
        assert lead.repair(NOW)
        assert [json.loads(raw)["job_id"] for raw in store.queue_raw(0, 9)] == ids
        assert violations(store, [], ids) == []

    def test_an_unreadable_slot_is_restored(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        raw_redis.hset("running_jobs", "user1", "garbage")
        raw_redis.hset("running_jobs", "nobody", "garbage")
        assert lead.repair(NOW) == "2 slots"
        assert [job.job_id for job in store.running()] == [job_id]
        assert raw_redis.hkeys("running_jobs") == ["user1"]

    def test_an_unreadable_record_is_quarantined(self, store: Store, raw_redis) -> None:
        broken, fine, lead = submit(store, "a"), submit(store, "b"), leader(store)
        raw_redis.hset(f"job:{broken}", "phase", "nonsense")
        assert "1 records" in lead.repair(NOW)
        assert store.order(0, 9) == [fine]
        assert lead.repair(NOW) == ""
        assert broken in quarantined(raw_redis)["where"]
        assert violations(store, [], [fine]) == []


class TestDamage:
    """What a hand, an older or a newer version may leave in Redis, and what a review found."""

    def test_a_reason_of_a_newer_version_is_kept_as_it_is(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        raw_redis.hset(f"job:{job_id}", "reason_code", "maintenance_window")
        assert lead.repair(NOW) == ""
        assert store.job(job_id).to_dict()["reason"]["code"] == "maintenance_window"
        assert [job.job_id for job in store.jobs([job_id])] == [job_id]

    def test_a_lost_queue_order_is_made_again(self, store: Store, raw_redis) -> None:
        ids, lead = [submit(store, user) for user in "abcd"], leader(store)
        raw_redis.delete("queue_order")
        assert lead.repair(NOW) == ""
        assert store.order(0, 9) == ids
        assert violations(store, [], ids) == []

    def test_a_lost_queue_is_made_again(self, store: Store, raw_redis) -> None:
        ids, lead = [submit(store, user) for user in "abcd"], leader(store)
        raw_redis.delete("job_queue")
        lead.repair(NOW)
        assert violations(store, [], ids) == []

    def test_a_second_copy_of_an_entry_is_quarantined(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        raw_redis.lpush("job_queue", store.job(job_id).entry)
        assert lead.repair(NOW) == "1 queue entries"
        assert violations(store, [], [job_id]) == []

    def test_a_record_without_its_entry_is_quarantined(self, store: Store, raw_redis) -> None:
        broken, fine, lead = submit(store, "a"), submit(store, "b"), leader(store)
        raw_redis.hdel(f"job:{broken}", "entry")
        assert "1 records" in lead.repair(NOW)
        assert lead.repair(NOW) == ""
        assert violations(store, [], [fine]) == []

    def test_a_record_without_its_slot_still_frees_it(self, store: Store, raw_redis) -> None:
        for end in ("requeue", "finish"):
            job_id, lead = submit(store, f"u-{end}"), leader(store)
            run(store, lead, job_id)
            raw_redis.hdel(f"job:{job_id}", "slot")
            if end == "requeue":
                lead.requeue(job_id, NOW, EVICTED)
            else:
                lead.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1)))
            assert raw_redis.hlen("running_jobs") == 0

    @pytest.mark.parametrize("key", ["durations", "job_timeline:{}"])
    def test_a_key_of_another_type_is_found_before_anything_is_written(
        self, store: Store, raw_redis, key: str
    ) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        raw_redis.delete(key.format(job_id))
        raw_redis.set(key.format(job_id), "mine")
        before = store.job(job_id)
        with pytest.raises(errors.StoreUnavailable, match="another type"):
            lead.finish(job_id, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0), 5.0))
        assert store.job(job_id) == before

    def test_a_workdir_that_looks_like_our_placeholder(self, store: Store) -> None:
        odd = JobSpec("ann", "c.yaml", "/data/ann/\\u0000x", config_text="")
        job_id = store.enqueue(odd, NOW, Caps()).job_id
        assert store.job(job_id).spec.workdir == "/data/ann/\\u0000x"
        assert json.loads(store.queue_raw(0, 1)[0])["job_id"] == job_id

    def test_a_cancel_is_not_talked_over_when_it_starts_to_run(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        admit(store, lead, job_id)
        store.cancel(job_id, NOW)
        lead.mark_running(job_id, NOW, "Running on gpu-1.")
        job = store.job(job_id)
        assert (job.phase, job.reason.code) == (Phase.RUNNING, ReasonCode.CANCELLING)

    def test_nodes_that_are_gone_are_forgotten(self, store: Store) -> None:
        lead = leader(store)
        lead.observe({}, {"10.0.0.7": {}, "gpu-1": {}})
        lead.observe({}, {"gpu-1": {}})
        assert list(store.nodes()) == ["gpu-1"]
        lead.observe({}, {})
        assert list(store.nodes()) == ["gpu-1"]

    def test_lists_fetch_every_field_of_a_spec(self) -> None:
        assert set(spec().to_hash()) - {"config_text"} <= set(Job.LIST_FIELDS)
