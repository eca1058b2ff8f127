"""Every transition on a real Valkey: what it writes, what it refuses, and that it refuses before it writes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue import errors
from jobqueue.failpoints import FAILPOINTS
from jobqueue.job import Job, JobSpec, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.health import ProblemCode, WarningCode
from jobqueue.store import keys
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, Outcome, Recorded, RequeueEffect, SlotLimits, Start

EVICTED = Reason(ReasonCode.EVICTED, "The node was drained.")
FAILED = Reason(ReasonCode.TRAINING_FAILED, "The training ended with exit code 1.")
DONE = Reason(ReasonCode.SUCCEEDED, "The training finished.")


def spec(user: str = "user1", **fields: object) -> JobSpec:
    return JobSpec(user, "config.yaml", f"/data/{user}", config_text="a: 1\n", **fields)  # type: ignore[arg-type]


def submit(store: Store, user: str = "user1", at: float = NOW) -> str:
    return store.enqueue(spec(user), at, Caps()).job_id


def leader(store: Store) -> Leader:
    lead = Leader.lead(store, "me", 60)
    assert lead is not None
    return lead


def admit(
    store: Store, lead: Leader, job_id: str, max_running: int = 9, max_per_user: int = 1
) -> str:
    return lead.admit(
        store.job(job_id),
        NOW,
        Start("gpu-1", ("GPU-0",), f"proto-gcn-{job_id}", "Starts."),
        SlotLimits(max_running, max_per_user),
    )


def run(store: Store, lead: Leader, job_id: str) -> None:
    admit(store, lead, job_id)
    lead.record_workflow(job_id, Recorded(f"proto-gcn-{job_id}", "uid", "gpu-1", ("GPU-0",)))
    lead.mark_running(job_id, NOW + 1, "Runs.")


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


class TestRequeueAndRetry:
    def test_requeue_goes_to_the_front(self, store: Store) -> None:
        first, lead = submit(store, "a"), leader(store)
        run(store, lead, first)
        submit(store, "b")
        assert (
            lead.requeue(first, NOW, EVICTED, RequeueEffect(next_attempt=True, counts=True))
            is Phase.QUEUED
        )
        job = store.job(first)
        assert (store.position(first), job.attempt, job.requeues, job.slot, job.workflow_uid) == (
            1,
            2,
            1,
            None,
            None,
        )
        assert violations(store, [], [first]) == []

    def test_where_nothing_was_made_it_has_waited_all_along(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        queued_at = store.job(job_id).queued_at
        for reason in (EVICTED, EVICTED, FAILED, EVICTED):
            admit(store, lead, job_id)
            lead.requeue(job_id, NOW + 60, reason, RequeueEffect(nothing_made=True))
        told = [line["message"] for line in store.timeline(job_id) if line["to"] == "queued"][1:]
        assert told == [
            EVICTED.message,
            FAILED.message,
            EVICTED.message,
        ]  # the same again at once is no news
        assert store.job(job_id).queued_at == queued_at
        for _ in range(2):
            admit(store, lead, job_id)
            lead.requeue(job_id, NOW + 60, EVICTED)
        assert len(store.timeline(job_id)) == 7 + 4
        assert store.job(job_id).queued_at == NOW + 60

    def test_a_break_is_taken_back_whichever_comes_first(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        admit(store, lead, job_id)
        Leader.survived(store, job_id)
        lead.requeue(job_id, NOW, EVICTED, RequeueEffect(breaks=True))
        assert store.job(job_id).breaks == 0
        assert lead.count_break(job_id) == 1
        Leader.survived(store, job_id)
        Leader.survived(store, "nobody")
        assert store.job(job_id).breaks == 0
        assert not store.jobs(["nobody"])

    def test_requeue_of_a_job_to_be_cancelled_ends_it(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        assert store.cancel(job_id, NOW) is Phase.RUNNING
        assert store.job(job_id).reason.code is ReasonCode.CANCELLING
        assert lead.requeue(job_id, NOW, EVICTED) is Phase.CANCELLED
        assert violations(store, [], [job_id]) == []

    def test_cancel_is_idempotent(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        store.cancel(job_id, NOW)
        steps = store.timeline(job_id)
        store.cancel(job_id, NOW + 5)
        assert store.timeline(job_id) == steps
        assert store.job(job_id).cancel_requested_at == NOW

    def test_retry_goes_to_the_back_as_the_next_attempt(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        lead.requeue(job_id, NOW, EVICTED, RequeueEffect(next_attempt=True, counts=True))
        store.cancel(job_id, NOW)
        submit(store, "b")
        assert store.retry(job_id, NOW, Caps()) == 2
        job = store.job(job_id)
        assert (job.phase, job.attempt, job.requeues, job.cancel_requested_at) == (
            Phase.QUEUED,
            3,
            0,
            None,
        )
        assert store.finished(0, 9) == []

    @pytest.mark.parametrize("prepare", ["queued", "running"])
    def test_retry_of_an_unfinished_job_is_refused(self, store: Store, prepare: str) -> None:
        job_id = submit(store)
        if prepare == "running":
            run(store, leader(store), job_id)
        with pytest.raises(errors.InvalidTransition, match=prepare):
            store.retry(job_id, NOW, Caps())

    def test_retry_minds_the_caps(self, store: Store) -> None:
        job_id = submit(store)
        store.cancel(job_id, NOW)
        submit(store)
        with pytest.raises(errors.QueueFull):
            store.retry(job_id, NOW, Caps(per_user=1))
        assert store.job(job_id).phase is Phase.CANCELLED

    def test_unknown_jobs(self, store: Store) -> None:
        lead = leader(store)
        calls = [
            lambda: store.job("no"),
            lambda: store.cancel("no", NOW),
            lambda: store.retry("no", NOW, Caps()),
            lambda: lead.requeue("no", NOW, EVICTED),
            lambda: lead.finish("no", NOW, Outcome(Phase.FAILED, FAILED, Result())),
        ]
        for call in calls:
            with pytest.raises(errors.JobNotFound):
                call()


class TestReasons:
    def test_written_only_where_they_changed_and_still_fit(self, store: Store) -> None:
        first, second, lead = submit(store), submit(store, "b"), leader(store)
        why = Reason(ReasonCode.RESOURCES_BUSY, "GPU 0 is busy.")
        jobs = store.jobs([first, second])
        assert lead.set_reasons([(job, why) for job in jobs]) == 2
        assert lead.set_reasons([(job, why) for job in jobs]) == 0
        store.cancel(second, NOW)
        assert lead.set_reasons([(jobs[1], Reason(ReasonCode.SLOTS_FULL, "x"))]) == 0
        assert store.job(second).reason.code is ReasonCode.CANCELLED


class TestRepair:
    def test_nothing_to_do(self, store: Store) -> None:
        submit(store)
        assert leader(store).repair(NOW) == ""

    @pytest.mark.parametrize(
        "junk", ["garbage", "{}", '{"user": 1}', "\x00\xff", '{"v": 2}', "[" * 9000]
    )
    def test_junk_in_the_queue_is_put_aside(self, store: Store, raw_redis, junk: str) -> None:
        job_id, lead = submit(store), leader(store)
        raw_redis.rpush("job_queue", junk)
        assert lead.repair(NOW) == "1 queue entries"
        assert store.quarantine()[0]["raw"] == junk
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

    def test_an_unreadable_record_is_put_aside(self, store: Store, raw_redis) -> None:
        broken, fine, lead = submit(store, "a"), submit(store, "b"), leader(store)
        raw_redis.hset(f"job:{broken}", "phase", "nonsense")
        assert "1 records" in lead.repair(NOW)
        assert store.order(0, 9) == [fine]
        assert lead.repair(NOW) == ""
        assert broken in store.quarantine()[0]["where"]
        assert violations(store, [], [fine]) == []


class TestInvariants:
    def test_the_checker_sees_what_is_wrong(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, submit(store, "b"))
        running = store.running()[0].job_id
        live = [LiveWorkflow("w", running)]
        assert violations(store, live, [job_id, running]) == []
        assert violations(store, [], [])  # running_jobs has one, nothing lives
        assert violations(store, [*live, LiveWorkflow("w-r2", running)], [])
        assert violations(store, live, ["lost_20261124120000"])
        raw_redis.zrem("queue_order", job_id)
        assert violations(store, live, [])
        raw_redis.zadd("queue_order", {job_id: 1})
        raw_redis.hset(f"job:{job_id}", "reason_message", "")
        assert violations(store, live, [job_id])
        raw_redis.hset(f"job:{job_id}", mapping={"reason_message": "x", "phase": "running"})
        assert violations(store, live, [job_id])


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


class TestWithdraw:
    WHY = Reason(ReasonCode.SHORT_OF_GPUS, "gpu-2 has a GPU.")

    def test_the_mark_is_written_once_the_workflow_is_known_and_goes_with_the_requeue(
        self, store: Store
    ) -> None:
        job_id, lead = submit(store), leader(store)
        admit(store, lead, job_id)
        assert not lead.withdraw(job_id, "uid", NOW, self.WHY)
        lead.record_workflow(job_id, Recorded("w", "uid", "gpu-1", ()))
        lead.extend_start(job_id, NOW + 5)
        assert lead.withdraw(job_id, "uid", NOW, self.WHY)
        job = store.job(job_id)
        assert (job.phase, job.withdrawn_uid, job.waited_until) == (Phase.ADMITTED, "uid", NOW + 5)
        assert store.timeline(job_id)[-1]["message"] == self.WHY.message
        assert store.running() == [replace(job, spec=replace(job.spec, config_text=""))]
        lead.requeue(job_id, NOW, self.WHY)
        job = store.job(job_id)
        assert (job.withdrawn_uid, job.waited_until, job.workflow_uid, job.attempt) == (
            None,
            None,
            None,
            1,
        )

    def test_one_that_runs_or_is_being_cancelled_is_not_withdrawn(self, store: Store) -> None:
        running, cancelled, lead = submit(store, "a"), submit(store, "b"), leader(store)
        run(store, lead, running)
        admit(store, lead, cancelled)
        lead.record_workflow(cancelled, Recorded("w", "uid", "gpu-1", ()))
        store.cancel(cancelled, NOW)
        assert not lead.withdraw(running, "uid", NOW, self.WHY)
        assert not lead.withdraw(cancelled, "uid", NOW, self.WHY)

    def test_a_stale_leader_marks_nothing(self, store: Store) -> None:
        job_id, lead = submit(store), leader(store)
        admit(store, lead, job_id)
        lead.record_workflow(job_id, Recorded("w", "uid", "gpu-1", ()))
        Leader.resign(store, "me")
        leader(store)
        for write in (
            lambda: lead.withdraw(job_id, "uid", NOW, self.WHY),
            lambda: lead.extend_start(job_id, NOW),
            lambda: lead.restore(replace(store.job(job_id), job_id="user1_20200101000000"), NOW),
        ):
            with pytest.raises(errors.StaleLeader):
                write()


class TestRestore:
    def test_a_lost_record_comes_back_whole_and_only_once(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        before = store.job(job_id)
        assert not lead.restore(before, NOW)
        raw_redis.flushall()
        lead = leader(store)
        assert lead.restore(before, NOW + 9)
        assert not lead.restore(before, NOW + 9)
        assert store.job(job_id) == before
        assert raw_redis.hgetall("running_jobs") == {"user1": before.entry}
        assert [each["at"] for each in store.timeline(job_id)] == ["2026-11-18T11:06:49.000Z"]
        assert violations(store, [LiveWorkflow("w", job_id)], [job_id]) == []

    def test_an_id_of_that_second_is_not_given_again(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        before = store.job(job_id)
        raw_redis.flushall()
        leader(store).restore(before, NOW)
        assert submit(store) == f"{job_id}_2"

    def test_a_finished_one_is_history_and_teaches(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        lead.finish(job_id, NOW + 60, Outcome(Phase.SUCCEEDED, DONE, Result(0, ("bye",)), 59.0))
        before = store.job(job_id)
        raw_redis.flushall()
        assert leader(store).restore(before, NOW + 99, 59.0)
        assert store.job(job_id) == before
        assert store.finished(0, 9) == store.user_jobs("user1", 0, 9) == [job_id]
        assert store.durations([("user1", "config.yaml")]) == {("user1", "config.yaml"): 59.0}
        assert violations(store, [], [job_id]) == []

    def test_a_key_of_another_type_changes_nothing(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, job_id)
        before = store.job(job_id)
        raw_redis.flushall()
        lead = leader(store)
        raw_redis.set("durations", "mine")
        with pytest.raises(errors.StoreUnavailable, match="another type"):
            lead.restore(before, NOW)
        assert not raw_redis.exists(f"job:{job_id}")


class TestRestoreQueued:
    def test_the_queue_comes_back_in_order_behind_what_is_there(
        self, store: Store, raw_redis
    ) -> None:
        ids = [submit(store, user) for user in "abc"]
        before = [store.job(job_id) for job_id in ids]
        raw_redis.flushall()
        new = submit(store, "new")
        assert [store.restore_queued(job, NOW + 9) for job in before] == [True] * 3
        assert store.order(0, 9) == [new, *ids]
        after = store.job(ids[0])
        assert after == replace(before[0], reason=after.reason)
        assert after.reason.code is ReasonCode.RESTORED
        assert violations(store, [], [new, *ids]) == []

    def test_what_is_known_stays_as_it_is(self, store: Store) -> None:
        ids, lead = [submit(store, user) for user in ("queued", "runs", "ended")], leader(store)
        before = [store.job(job_id) for job_id in ids]
        run(store, lead, ids[1])
        run(store, lead, ids[2])
        lead.finish(ids[2], NOW, Outcome(Phase.SUCCEEDED, DONE, Result(0)))
        now = [store.job(job_id) for job_id in ids]
        assert [store.restore_queued(job, NOW + 9) for job in before] == [False] * 3
        assert [store.job(job_id) for job_id in ids] == now
        assert violations(store, [LiveWorkflow("w", ids[1])], ids) == []

    @pytest.mark.parametrize(
        ("phase", "attempt", "taken"),
        [
            (Phase.FAILED, 2, True),
            (Phase.CANCELLED, 2, True),
            (Phase.FAILED, 1, False),
            (Phase.SUCCEEDED, 2, False),
        ],
    )
    def test_a_later_attempt_than_the_one_that_ended_is_what_came_after(
        self, store: Store, phase: Phase, attempt: int, taken: bool
    ) -> None:
        job_id, lead = submit(store), leader(store)
        queued = replace(store.job(job_id), attempt=attempt)
        run(store, lead, job_id)
        lead.finish(job_id, NOW, Outcome(phase, Reason("x", "It ended."), Result(1)))
        assert store.restore_queued(queued, NOW + 9) is taken
        assert store.job(job_id).phase is (Phase.QUEUED if taken else phase)
        assert violations(store, [], [job_id]) == []


def test_a_node_is_dead_until_it_is_declared_alive(store: Store) -> None:
    store.request_resume(NOW)
    assert store.dead_nodes() == {}
    store.declare_dead("gpu-2", NOW)
    assert store.dead_nodes() == {"gpu-2": NOW}
    assert store.declare_alive("gpu-2")
    assert not store.declare_alive("gpu-2")
    assert (store.dead_nodes(), store.resume_requested_at()) == ({}, NOW)


@pytest.mark.parametrize(
    ("gpus", "says"),
    [(["GPU-0"], "GPU-0 is promised to 2 jobs"), ([], "gpu-1 has 1 GPUs, 2 are promised")],
)
def test_the_invariants_see_a_gpu_that_is_promised_twice(
    store: Store, gpus: list[str], says: str
) -> None:
    lead, live = leader(store), []
    for user in "ab":
        job_id = submit(store, user)
        lead.admit(
            store.job(job_id), NOW, Start("gpu-1", tuple(gpus), job_id, "Starts."), SlotLimits(9, 1)
        )
        live.append(LiveWorkflow(job_id, job_id))
    assert says in violations(store, live, gpus={"gpu-1": 1})
    assert violations(store, live, gpus={"gpu-1": 2}) == ([] if not gpus else [says])


def test_the_scripts_use_the_keys_of_the_table() -> None:
    folder = Path(keys.__file__).parent / "scripts"
    lua = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.lua"))
    used = set(re.findall(r"redis\.call\('[A-Z]+', '([a-z_]+:?:?)'", lua))
    documented = set(re.findall(r"^([a-z_]+:{0,2})", str(keys.__doc__), re.MULTILINE)) | {
        "scheduler_epoch",
        "durations:",
    }
    assert len(used) > 10
    assert used <= documented


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


def test_failpoint_names_are_unique() -> None:
    assert len(set(FAILPOINTS)) == len(FAILPOINTS)


class TestDamage:
    """What a hand, an older or a newer version may leave in Redis, and what a review found."""

    def test_a_reason_of_a_newer_version_is_kept_as_it_is(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        raw_redis.hset(f"job:{job_id}", "reason_code", "maintenance_window")
        assert lead.repair(NOW) == ""
        assert store.job(job_id).to_dict()["reason"]["code"] == "maintenance_window"
        assert [job.job_id for job in store.jobs([job_id])] == [job_id]

    def test_a_lost_queue_order_is_made_anew(self, store: Store, raw_redis) -> None:
        ids, lead = [submit(store, user) for user in "abcd"], leader(store)
        raw_redis.delete("queue_order")
        assert lead.repair(NOW) == ""
        assert store.order(0, 9) == ids
        assert violations(store, [], ids) == []

    def test_a_lost_queue_is_made_anew(self, store: Store, raw_redis) -> None:
        ids, lead = [submit(store, user) for user in "abcd"], leader(store)
        raw_redis.delete("job_queue")
        lead.repair(NOW)
        assert violations(store, [], ids) == []

    def test_a_second_copy_of_an_entry_is_put_aside(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        raw_redis.lpush("job_queue", store.job(job_id).entry)
        assert lead.repair(NOW) == "1 queue entries"
        assert violations(store, [], [job_id]) == []

    def test_a_record_without_its_entry_is_put_aside(self, store: Store, raw_redis) -> None:
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
