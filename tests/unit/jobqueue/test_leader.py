"""The lead, and the way of a job through its slot to the end."""

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue import errors
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Outcome, Recorded, SlotLimits, Start
from tests.unit.jobqueue.acts import DONE, EVICTED, FAILED, admit, leader, run, submit


class TestLeader:
    def test_only_one_leads(self, store: Store) -> None:
        assert Leader.lead(store, "me", 60) is not None
        assert Leader.lead(store, "you", 60) is None

    def test_a_new_leader_has_a_higher_epoch(self, store: Store) -> None:
        first = leader(store)
        assert leader(store).epoch == first.epoch
        Leader.resign(store, "me")
        second = Leader.lead(store, "you", 60)
        assert second is not None
        assert int(second.epoch) > int(first.epoch)

    def test_resigning_for_another_changes_nothing(self, store: Store) -> None:
        leader(store)
        Leader.resign(store, "you")
        assert Leader.lead(store, "you", 60) is None

    def test_every_write_of_a_stale_leader_is_refused(self, store: Store, raw_redis) -> None:
        job_id, running = submit(store), submit(store, "user2")
        stale = leader(store)
        run(store, stale, running)
        Leader.resign(store, "me")
        Leader.lead(store, "you", 60)
        before = {
            key: raw_redis.dump(key) if raw_redis.type(key) != "string" else raw_redis.get(key)
            for key in sorted(raw_redis.keys("*"))
        }
        job = store.job(running)
        writes = [
            lambda: admit(store, stale, job_id),
            lambda: stale.record_workflow(running, Recorded("w", "u", "n", ())),
            lambda: stale.mark_running(running, NOW, "m"),
            lambda: stale.requeue(running, NOW, EVICTED),
            lambda: stale.finish(running, NOW, Outcome(Phase.FAILED, FAILED, Result())),
            lambda: stale.set_reasons([(job, EVICTED)]),
            lambda: stale.confirm(running),
            lambda: stale.count_break(running),
            lambda: stale.observe({}, {"n": {}}),
            lambda: stale.trim(NOW * 2, 0),
        ]
        for write in writes:
            with pytest.raises(errors.StaleLeader):
                write()
        after = {
            key: raw_redis.dump(key) if raw_redis.type(key) != "string" else raw_redis.get(key)
            for key in sorted(raw_redis.keys("*"))
        }
        assert after == before


class TestAdmit:
    def test_from_the_queue_into_the_slot(self, store: Store, raw_redis) -> None:
        job_id = submit(store)
        raw = raw_redis.lindex("job_queue", -1)
        assert admit(store, leader(store), job_id) == "user1"
        assert raw_redis.hgetall("running_jobs") == {"user1": raw}  # the same JSON as in the queue
        assert raw_redis.llen("job_queue") == 0
        job = store.job(job_id)
        assert (job.phase, job.slot, job.node, job.gpu_uuids) == (
            Phase.ADMITTED,
            "user1",
            "gpu-1",
            ("GPU-0",),
        )
        assert violations(store, [LiveWorkflow("w", job_id)], [job_id]) == []

    def test_slots_of_one_user(self, store: Store) -> None:
        lead = leader(store)
        slots = [admit(store, lead, submit(store), max_per_user=3) for _ in range(3)]
        assert slots == ["user1", "user1#2", "user1#3"]
        with pytest.raises(errors.NoFreeSlot):
            admit(store, lead, submit(store), max_per_user=3)

    def test_no_more_than_max_running(self, store: Store) -> None:
        lead = leader(store)
        admit(store, lead, submit(store, "a"), max_running=1)
        waiting = submit(store, "b")
        with pytest.raises(errors.NoFreeSlot):
            admit(store, lead, waiting, max_running=1)
        assert store.position(waiting) == 1

    def test_a_cancelled_job_is_not_admitted(self, store: Store) -> None:
        job_id = submit(store)
        job, lead = store.job(job_id), leader(store)
        store.cancel(job_id, NOW)
        with pytest.raises(errors.InvalidTransition):
            lead.admit(job, NOW, Start("n", (), "w", "m"), SlotLimits(1, 1))


class TestEnd:
    def test_finish_frees_the_slot_and_learns(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        lead.finish(
            job_id, NOW + 60, Outcome(Phase.SUCCEEDED, DONE, Result(0, ("last line",)), 59.0)
        )
        job = store.job(job_id)
        assert (job.phase, job.result) == (Phase.SUCCEEDED, Result(0, ("last line",)))
        assert raw_redis.hlen("running_jobs") == 0
        assert store.durations([("user1", "config.yaml"), ("x", "config.yaml"), ("x", "y")]) == {
            ("user1", "config.yaml"): 59.0,
            ("x", "config.yaml"): 59.0,
            ("x", "y"): 59.0,
        }
        assert [step["to"] for step in store.timeline(job_id)] == [
            "queued",
            "admitted",
            "running",
            "succeeded",
        ]

    def test_only_success_teaches(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        lead.finish(job_id, NOW + 60, Outcome(Phase.FAILED, FAILED, Result(1), 59.0))
        assert store.durations([("user1", "config.yaml")]) == {("user1", "config.yaml"): None}

    def test_a_finished_job_stays_as_it_is(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        lead.finish(job_id, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0)))
        assert lead.finish(job_id, NOW, Outcome(Phase.FAILED, FAILED, Result(1))) is Phase.SUCCEEDED
        assert store.finished(0, 9) == [job_id]
        assert store.cancel(job_id, NOW) is Phase.SUCCEEDED

    def test_succeeded_needs_running(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        with pytest.raises(errors.InvalidTransition):
            lead.finish(job_id, NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0)))
        assert store.job(job_id).phase is Phase.QUEUED

    def test_history_is_trimmed_by_age_and_count(self, store: Store, raw_redis) -> None:
        lead = leader(store)
        ids = [submit(store, f"u{n}", NOW + n) for n in range(5)]
        for n, job_id in enumerate(ids):
            store.cancel(job_id, NOW + n)
        assert lead.trim(NOW + 2, 100) == ids[:2]
        assert lead.trim(0, 1) == ids[2:4]
        assert store.finished(0, 9) == [ids[4]]
        assert raw_redis.keys("job:*") == [f"job:{ids[4]}"]
        assert raw_redis.keys("user_jobs:*") == ["user_jobs:u4"]
