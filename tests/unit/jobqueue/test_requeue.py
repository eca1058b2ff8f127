"""The ways back into the queue: requeue, withdrawal, retry; and cancellation."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import violations
from jobqueue import errors
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, Outcome, Recorded, RequeueEffect
from tests.unit.jobqueue.acts import EVICTED, FAILED, admit, leader, run, submit


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
