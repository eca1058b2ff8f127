"""Records that an earlier version wrote are read, shown and carried on by the present one."""

import json
from collections.abc import Callable

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue import backup
from jobqueue.job import Job, QueueEntry, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, Outcome, Recorded, RequeueEffect, SlotLimits, Start
from tests.unit.jobqueue import recorded_state

AT = NOW + 10**8  #: later than anything in the recording
EVICTED = Reason(ReasonCode.EVICTED, "The node was drained.")

#: What became of the job -> its phase, reason code and quoted log line as they are read now.
READ_AS = {
    "ok": (Phase.SUCCEEDED, ReasonCode.SUCCEEDED, ""),
    "fail": (Phase.FAILED, ReasonCode.TRAINING_FAILED, "the training could not go on"),
    "bad": (Phase.FAILED, ReasonCode.BAD_CONFIG, "the training could not go on"),
    "killed": (Phase.FAILED, ReasonCode.KILLED, ""),
    "limit": (Phase.FAILED, ReasonCode.TIME_LIMIT, ""),
    "retried": (Phase.FAILED, ReasonCode.TRAINING_FAILED, "the training could not go on"),
    "cancelled": (Phase.CANCELLED, ReasonCode.CANCELLED, ""),
    "dropped": (Phase.CANCELLED, ReasonCode.CANCELLED, ""),
    "busy": (Phase.QUEUED, ReasonCode.GPU_BUSY, "GPU 0 is in use by a process of zoe"),
    "running": (Phase.RUNNING, ReasonCode.RUNNING, ""),
    "being_cancelled": (Phase.RUNNING, ReasonCode.CANCELLING, ""),
    "waiting": (Phase.QUEUED, ReasonCode.WAITING_TURN, ""),
    "many": (Phase.QUEUED, ReasonCode.WAITING_TURN, ""),
    "unavailable": (Phase.QUEUED, ReasonCode.ENGINE_UNREACHABLE, ""),
    "internal_error": (Phase.FAILED, ReasonCode.INTERNAL_ERROR, ""),
    "admitted": (Phase.ADMITTED, ReasonCode.ENGINE_UNREACHABLE, ""),
    "withdrawn": (Phase.ADMITTED, ReasonCode.SHORT_OF_GPUS, ""),
    "restored": (Phase.QUEUED, ReasonCode.RESTORED, ""),
}
HOLD_SLOTS = ("running", "being_cancelled", "admitted", "withdrawn")


@pytest.fixture
def recorded(raw_redis) -> recorded_state.Recorded:
    return recorded_state.load_into(raw_redis, "redis-25d2815.json")


@pytest.fixture
def job(store: Store, recorded: recorded_state.Recorded) -> Callable[[str], Job]:
    """Return the record of the job that this became of."""
    return lambda what: store.job(recorded.jobs[what])


@pytest.fixture
def leader(store: Store, recorded: recorded_state.Recorded) -> Leader:
    found = Leader.lead(store, "a test", 60)
    assert found is not None
    return found


def sound(store: Store, recorded: recorded_state.Recorded) -> bool:
    """Return whether no promise is broken if exactly the jobs with a slot have a workflow."""
    live = [LiveWorkflow(job.workflow_name or "", job.job_id) for job in store.running()]
    return violations(store, live, recorded.jobs.values()) == []


def test_the_recording_names_every_job_that_is_checked(recorded) -> None:
    assert set(recorded.jobs) == set(READ_AS)


@pytest.mark.parametrize("what", READ_AS)
def test_a_record_is_read(store: Store, job: Callable[[str], Job], what: str) -> None:
    found = job(what)
    assert (found.phase, found.reason.code, found.reason.detail) == READ_AS[what]
    assert found.reason.message.endswith((".", "job", "job started there"))
    [listed] = store.jobs([found.job_id])
    assert listed.reason == found.reason
    assert found.phase is Phase(store.timeline(found.job_id)[-1]["to"])


def test_fields_of_a_record(job: Callable[[str], Job], store: Store) -> None:
    done = job("ok")
    assert (done.spec.name, done.spec.time_limit_s, done.spec.workflow) == ("baseline", 3600, "toy")
    assert (done.result.exit_code, done.result.log_tail[-1:]) == (0, ("training",))
    assert done.spec.config_text.startswith("seconds:")
    assert (job("retried").attempt, job("waiting").spec.name) == (2, "größer")
    assert job("fail").result.exit_code == 1
    assert (job("admitted").gpu_uuids, job("admitted").spec.gpus) == (("GPU-1", "GPU-2"), 2)
    withdrawn = job("withdrawn")
    assert withdrawn.withdrawn_uid == withdrawn.workflow_uid == "uid-jim"
    assert withdrawn.waited_until is not None
    assert job("being_cancelled").cancel_requested_at is not None
    assert {each.engine for each in store.running()} == {None}


def test_nobody_else_sees_a_line_of_the_log(job: Callable[[str], Job], store: Store) -> None:
    for what in ("fail", "bad", "busy", "retried"):
        found = job(what)
        assert "could not" not in found.reason.message
        assert "zoe" not in found.reason.message
        assert found.reason.without_detail().to_dict()["detail"] == ""
        assert found.reason.sentence.endswith(READ_AS[what][2])
        lines = store.timeline(found.job_id)
        assert any(line["detail"] == READ_AS[what][2] for line in lines)
        assert not any(READ_AS[what][2] in line["message"] for line in lines)


def test_everything_else_is_read(store: Store, recorded: recorded_state.Recorded) -> None:
    assert sound(store, recorded)
    ids = recorded.jobs
    assert store.order(0, 3) == [ids["unavailable"], ids["busy"], ids["waiting"]]
    assert len(store.finished(0, 99)) == store.finished_length() == 10
    assert sum(store.finished_counts().values()) >= 10
    assert {token.user for token in store.tokens()} == {"ann", "root"}
    assert (store.dead_nodes(), store.resume_requested_at()) == ({"node-9": 1796000000.0}, 1796e6)
    assert {name: bool(node["snapshot"]) for name, node in nodes(store).items()} == {
        "node-2": False,
        "test-node": True,
    }
    assert (store.heartbeat() or {})["halted"] is None
    assert store.quarantine_length() == 1
    assert store.durations([("ann", "config.yaml")])["ann", "config.yaml"]
    _, events = store.wait_events("0", 0.01)
    assert events


def nodes(store: Store) -> dict[str, dict[str, object]]:
    return {name: {"snapshot": None, **node} for name, node in store.nodes().items()}


def test_an_idempotency_key_still_means_its_job(store: Store, job: Callable[[str], Job]) -> None:
    known = job("admitted")
    again = store.enqueue(known.spec, AT, Caps(), "key-2", "digest")
    assert (again.job_id, again.existing) == (known.job_id, True)


def test_its_backup_is_restored(store: Store, recorded: recorded_state.Recorded) -> None:
    [job] = backup.decode(json.dumps(recorded.backup)).jobs
    assert job.job_id == recorded.jobs["restored"]
    assert job.spec == store.job(job.job_id).spec
    assert not store.restore_queued(job, AT)


def test_a_lead_goes_to_a_newer_epoch(leader: Leader, raw_redis, recorded) -> None:
    assert leader.epoch == raw_redis.get("scheduler_epoch")
    assert leader.repair(AT) == ""
    assert sound(leader.store, recorded)


@pytest.mark.parametrize("what", HOLD_SLOTS)
def test_a_job_with_a_slot_is_finished(leader: Leader, job, recorded, what: str) -> None:
    outcome = Outcome(Phase.FAILED, Reason(ReasonCode.TRAINING_FAILED, "No.", "boom"), Result(1))
    assert leader.finish(job(what).job_id, AT, outcome) is Phase.FAILED
    assert job(what).reason.detail == "boom"
    assert sound(leader.store, recorded)


@pytest.mark.parametrize("what", HOLD_SLOTS)
def test_a_job_with_a_slot_is_requeued(leader: Leader, job, recorded, what: str) -> None:
    phase = leader.requeue(job(what).job_id, AT, EVICTED, RequeueEffect(next_attempt=True))
    assert phase is (Phase.CANCELLED if what == "being_cancelled" else Phase.QUEUED)
    assert sound(leader.store, recorded)


@pytest.mark.parametrize(
    "what", ["fail", "bad", "killed", "internal_error", "cancelled", "retried"]
)
def test_a_finished_job_is_retried(leader: Leader, job, recorded, what: str) -> None:
    attempt = job(what).attempt
    leader.store.retry(job(what).job_id, AT, Caps())
    found = job(what)
    assert (found.phase, found.attempt) == (Phase.QUEUED, attempt + 1)
    assert (found.reason.code, found.reason.detail, found.breaks) == ("retried", "", 0)
    assert sound(leader.store, recorded)


@pytest.mark.parametrize("what", ["busy", "waiting", "unavailable", "restored"])
def test_a_queued_job_is_cancelled(leader: Leader, job, recorded, what: str) -> None:
    assert leader.store.cancel(job(what).job_id, AT) is Phase.CANCELLED
    assert sound(leader.store, recorded)


@pytest.mark.parametrize("what", ["busy", "waiting", "unavailable", "restored"])
def test_a_queued_job_runs_to_its_end(leader: Leader, job, recorded, what: str) -> None:
    job_id = job(what).job_id
    start = Start("test-node", ("GPU-9",), "w", "Admitted.", "local")
    leader.admit(job(what), AT, start, SlotLimits(99, 9))
    assert leader.confirm(job_id)
    leader.record_workflow(job_id, Recorded("w", "uid", "test-node", ("GPU-9",)))
    leader.mark_running(job_id, AT + 1, "Running on test-node.")
    assert sound(leader.store, recorded)
    outcome = Outcome(Phase.SUCCEEDED, Reason(ReasonCode.SUCCEEDED, "Done."), Result(0), 5.0)
    leader.finish(job_id, AT + 6, outcome)
    assert job(what).phase is Phase.SUCCEEDED
    assert sound(leader.store, recorded)


def test_one_more_failed_create_replaces_the_line_of_the_last(leader: Leader, job) -> None:
    job_id = job("unavailable").job_id
    start = Start("test-node", (), "w", "Admitted.")
    before = len(leader.store.timeline(job_id))
    for _ in range(2):
        leader.admit(job("unavailable"), AT, start, SlotLimits(99, 9))
        reason = Reason(ReasonCode.ENGINE_UNREACHABLE, "No answer.")
        leader.requeue(job_id, AT, reason, RequeueEffect(nothing_made=True))
    assert len(leader.store.timeline(job_id)) == before + 2  # the two tries share their lines


def test_a_running_job_is_cancelled_and_a_cancel_is_kept(leader: Leader, job, recorded) -> None:
    assert leader.store.cancel(job("running").job_id, AT) is Phase.RUNNING
    before = job("being_cancelled")
    assert leader.store.cancel(before.job_id, AT) is Phase.RUNNING
    assert job("being_cancelled") == before
    assert sound(leader.store, recorded)


def test_the_history_is_trimmed(leader: Leader, raw_redis) -> None:
    gone = leader.trim(AT, 0)
    assert len(gone) == 10
    assert leader.store.finished_length() == 0
    assert not any(raw_redis.exists(f"job:{job_id}") for job_id in gone)


def test_entries_of_the_queue_are_read(store: Store, recorded) -> None:
    ids = [QueueEntry.decode(raw).job_id for raw in store.queue_raw(0, 99)]
    assert ids == store.order(0, 99)
