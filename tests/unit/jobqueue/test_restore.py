"""Records that Redis had lost come back, from workflows or from a backup."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue import errors
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Store
from jobqueue.store.leader import Outcome
from tests.unit.jobqueue.acts import DONE, leader, run, submit


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
