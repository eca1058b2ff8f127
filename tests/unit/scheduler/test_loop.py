"""The cycle on a real Redis with a fake engine: what it writes, creates, repairs and reports."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import NOW, make_node
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue.errors import StaleLeader, StoreUnavailable
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, SlotLimits, Start
from scheduler.decide.report import HURRY_PAUSE_S, next_pause
from scheduler.engines.contract import (
    EndedBy,
    EngineForbidden,
    EngineUnavailable,
    WorkflowNotMade,
    WorkflowPhase,
    WorkflowRejected,
    WorkflowStatus,
)
from scheduler.loop import Scheduler


def name(job_id: str, attempt: int = 1) -> str:
    return f"proto-gcn-{job_id.replace('_', '-')}" + (f"-r{attempt}" if attempt > 1 else "")


def sound(rig, *job_ids: str) -> None:
    live = [LiveWorkflow(w.name, w.job_id) for w in rig.engine.workflows() if w.is_live]
    assert violations(rig.store, live, job_ids) == []


def started(rig, job_id: str) -> None:
    rig.engine.set(name(job_id), phase=WorkflowPhase.RUNNING, started_at=rig.clock())


def ended(rig, job_id: str, attempt: int = 1, **fields) -> None:
    fields = {"phase": WorkflowPhase.FAILED, "finished_at": rig.clock() + 60, **fields}
    rig.engine.set(name(job_id, attempt), **fields)


class TestOneJob:
    def test_from_submission_to_success(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        assert scheduler.run_cycle().summary == "0 queued, 1 admitted or running"
        assert rig.job(job_id).phase is Phase.ADMITTED
        assert rig.job(job_id).workflow_uid == "uid-0"
        assert rig.engine.placements[name(job_id)].gpu_uuids == ("GPU-00000000-gpu-1",)
        started(rig, job_id)
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.RUNNING
        ended(rig, job_id, phase=WorkflowPhase.SUCCEEDED, exit_code=0)
        scheduler.run_cycle()
        job = rig.job(job_id)
        assert (job.phase, job.result.exit_code) == (Phase.SUCCEEDED, 0)
        assert rig.store.durations([("ann", "config.yaml")]) == {("ann", "config.yaml"): 60.0}
        sound(rig, job_id)

    def test_one_runs_at_a_time_in_order(self, rig) -> None:
        ids = [rig.submit(user) for user in ("a", "b", "c")]
        scheduler = rig.scheduler()
        for job_id in ids:
            scheduler.run_cycle()
            assert [job.job_id for job in rig.store.running()] == [job_id]
            sound(rig, *ids)
            ended(rig, job_id, phase=WorkflowPhase.SUCCEEDED, exit_code=0, started_at=NOW)
        scheduler.run_cycle()
        assert rig.engine.created == [name(job_id) for job_id in ids]

    def test_a_failed_one_frees_the_slot_for_the_next(self, rig) -> None:
        first, second = rig.submit("a"), rig.submit("b")
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        ended(rig, first, exit_code=1, started_at=NOW, log_tail=("boom",))
        scheduler.run_cycle()
        assert rig.job(first).reason.detail == "boom"
        assert rig.job(second).phase is Phase.ADMITTED
        sound(rig, first, second)

    def test_a_job_waits_while_the_gpu_is_busy_and_its_reason_names_the_load(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.monitors.answer = [make_node(busy=(0,))]
        assert "GPU 0 is at 93 %" in scheduler.run_cycle().summary
        assert rig.job(job_id).reason.code is ReasonCode.RESOURCES_BUSY
        assert rig.store.nodes()["gpu-1"]["snapshot"]["available"] is False
        rig.monitors.answer = [make_node()]
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.ADMITTED

    def test_another_user_starts_behind_150_jobs_of_a_user_at_the_limit(self, rig) -> None:
        rig.settings = rig.settings.model_copy(update={"max_running_jobs": 2})
        rig.monitors.answer = [make_node(gpus=2)]
        for _ in range(150):
            rig.submit("greedy")
            rig.clock.tick(1)
        other, scheduler = rig.submit("modest"), rig.scheduler()
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.job(other).phase is Phase.ADMITTED

    def test_running_jobs_are_read_once_a_cycle(self, rig, monkeypatch) -> None:
        read, running = [], rig.store.running
        monkeypatch.setattr(rig.store, "running", lambda: read.append(1) or running())
        scheduler = rig.scheduler()
        rig.submit("a")
        rig.submit("b")
        for number, full in enumerate([True, True, False], start=1):
            scheduler.run_cycle(full)
            assert len(read) == number


class TestCreate:
    def test_a_job_whose_create_failed_is_requeued_at_the_front(self, rig) -> None:
        first, second, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
        rig.engine.refuse = WorkflowNotMade("The disk is full.")
        scheduler.run_cycle()
        job = rig.job(first)
        assert (job.phase, job.attempt, job.requeues) == (Phase.QUEUED, 1, 0)
        assert rig.store.position(first) == 1
        sound(rig, first, second)
        rig.clock.tick(1)
        scheduler.run_cycle()
        assert rig.job(first).phase is Phase.ADMITTED

    def test_a_create_that_took_effect_without_an_answer_is_not_repeated(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.engine.refuse, rig.engine.late = EngineUnavailable("reset"), True
        scheduler.run_cycle()
        assert rig.job(job_id).workflow_uid is None
        scheduler.run_cycle()
        assert rig.job(job_id).workflow_uid == "uid-0"
        assert rig.engine.created == [name(job_id)]
        sound(rig, job_id)

    def test_a_create_that_had_no_effect_is_repeated_in_the_next_cycle(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.engine.refuse = EngineUnavailable("timeout")
        scheduler.run_cycle()
        sound_phase = rig.job(job_id).phase
        scheduler.run_cycle()
        assert sound_phase is Phase.ADMITTED
        assert rig.job(job_id).attempt == 1
        assert rig.engine.created == [name(job_id)]

    @pytest.mark.parametrize("error", [EngineUnavailable("timeout"), WorkflowNotMade("no room")])
    def test_what_a_failed_create_left_behind_is_removed_with_its_job(self, rig, error) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.engine.refuse = error
        scheduler.run_cycle()
        rig.store.cancel(job_id, rig.clock())
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.CANCELLED
        assert (rig.engine.created, rig.engine.cleared) == ([], [name(job_id)])

    def test_what_a_failed_create_left_behind_is_kept_for_the_next_create(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.engine.refuse = EngineUnavailable("timeout")
        for _ in range(3):
            scheduler.run_cycle()
        started(rig, job_id)
        ended(rig, job_id, exit_code=1)
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.FAILED
        assert rig.engine.cleared == []

    def test_a_rejected_workflow_fails_only_its_own_job(self, rig) -> None:
        first, second, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
        rig.engine.refuse = WorkflowRejected("spec.templates[0].container.image: required")
        scheduler.run_cycle()
        assert rig.job(first).reason.code is ReasonCode.REJECTED
        scheduler.run_cycle()
        assert rig.job(second).phase is Phase.ADMITTED

    def test_a_missing_permission_never_fails_the_job(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        for _ in range(4):
            rig.engine.refuse = EngineForbidden("workflows is forbidden")
            scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.QUEUED
        assert rig.alerts.sent == ["workflows is forbidden"]

    def test_an_object_of_that_name_that_is_not_ours_is_left_alone(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.engine.made[name(job_id)] = WorkflowStatus(
            name(job_id), "x", "somebody", 1, WorkflowPhase.FAILED, finished_at=NOW
        )
        scheduler.run_cycle()
        assert rig.job(job_id).reason.code is ReasonCode.NAME_TAKEN
        assert rig.engine.stopped == []

    def test_a_job_with_a_missing_template_keeps_its_position(self, rig) -> None:
        job_id, scheduler = rig.submit(workflow="nowhere"), rig.scheduler()
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.QUEUED
        assert len(rig.alerts.sent) == 1

    def test_a_job_cancelled_between_admission_and_create_creates_nothing(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        admit = Leader.admit

        def admit_then_cancel(self, *args, **kwargs):
            slot = admit(self, *args, **kwargs)
            rig.store.cancel(job_id, rig.clock())
            return slot

        Leader.admit = admit_then_cancel
        try:
            scheduler.run_cycle()
        finally:
            Leader.admit = admit
        assert rig.job(job_id).phase is Phase.CANCELLED
        assert rig.engine.created == []
        sound(rig, job_id)

    def test_a_leader_that_lost_the_lead_right_before_its_create_creates_nothing(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        admit = Leader.admit

        def admit_then_sleep_too_long(self, *args, **kwargs):
            slot = admit(self, *args, **kwargs)
            Leader.resign(rig.store, "me")  # its lease ran out meanwhile
            Leader.lead(rig.store, "other", 60)
            return slot

        Leader.admit = admit_then_sleep_too_long
        try:
            with pytest.raises(StaleLeader):
                scheduler.run_cycle()
        finally:
            Leader.admit = admit
        assert rig.engine.created == []
        assert (
            rig.job(job_id).phase is Phase.ADMITTED
        )  # the new leader finds it, and asks the engine by name


class TestRestart:
    def test_a_job_admitted_by_a_dead_scheduler_that_created_nothing_starts(self, rig) -> None:
        job_id = rig.submit()
        lead = Leader.lead(rig.store, "dead", 60)
        assert lead is not None
        lead.admit(rig.job(job_id), NOW, Start("gpu-1", (), name(job_id), "m"), SlotLimits(1, 1))
        Leader.resign(rig.store, "dead")
        rig.scheduler().run_cycle()
        job = rig.job(job_id)
        assert (job.phase, job.attempt, job.breaks) == (Phase.ADMITTED, 1, 1)
        sound(rig, job_id)

    def test_a_workflow_that_was_created_but_not_recorded_is_adopted(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        rig.redis.hdel(f"job:{job_id}", "workflow_uid")
        rig.scheduler().run_cycle()
        assert rig.job(job_id).workflow_uid == "uid-0"
        assert rig.engine.created == [name(job_id)]

    def test_a_standby_does_nothing(self, rig) -> None:
        job_id = rig.submit()
        Leader.lead(rig.store, "other", 60)
        report = rig.scheduler().run_cycle()
        assert (report.is_leader, report.summary) == (
            False,
            "Standing by; another scheduler is the leader.",
        )
        assert rig.job(job_id).phase is Phase.QUEUED

    def test_an_admission_that_redis_lost_is_restored_from_the_engine(self, rig) -> None:
        job_id, other = rig.submit("a"), rig.submit("b")
        rig.engine.made[name(job_id)] = WorkflowStatus(
            name(job_id), "u", job_id, 1, WorkflowPhase.RUNNING, "gpu-1"
        )
        rig.scheduler().run_cycle()
        assert rig.job(job_id).phase.holds_slot
        assert rig.job(other).phase is Phase.QUEUED
        sound(rig, job_id, other)

    def test_an_emptied_redis_never_stops_a_running_workflow(self, rig) -> None:
        rig.engine.made["w"] = WorkflowStatus(
            "w", "u", "gone_20261124120000", 1, WorkflowPhase.RUNNING, "gpu-1"
        )
        waiting, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.engine.stopped == []
        assert rig.job(waiting).phase is Phase.QUEUED
        assert len(rig.alerts.sent) == 1

    def test_a_live_workflow_of_a_finished_job_is_stopped(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        rig.store.cancel(job_id, NOW)
        rig.engine.made[name(job_id)] = WorkflowStatus(
            name(job_id), "u", job_id, 1, WorkflowPhase.RUNNING
        )
        scheduler.run_cycle()
        assert rig.engine.stopped == [name(job_id)]

    def test_finished_workflows_are_deleted_after_the_retention_time(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        ended(rig, job_id, exit_code=1, started_at=NOW)
        scheduler.run_cycle()
        rig.clock.tick(7 * 86400)
        scheduler.run_cycle()
        assert name(job_id) in rig.engine.made
        rig.clock.tick(120)
        scheduler.run_cycle()
        assert name(job_id) not in rig.engine.made


class TestRequeue:
    def test_an_evicted_job_resumes_first_under_the_next_name(self, rig) -> None:
        first, second, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
        scheduler.run_cycle()
        ended(rig, first, ended_by=EndedBy.EVICTION, started_at=NOW)
        scheduler.run_cycle()
        assert rig.engine.created == [name(first), name(first, 2)]
        assert rig.job(first).requeues == 1
        sound(rig, first, second)

    def test_the_fourth_eviction_fails_the_job(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        for attempt in range(1, 5):
            ended(rig, job_id, attempt, ended_by=EndedBy.EVICTION, started_at=NOW)
            scheduler.run_cycle()
        assert rig.job(job_id).reason.code is ReasonCode.REQUEUE_LIMIT

    def test_a_gpu_in_use_does_not_count_as_a_requeue_but_its_node_is_skipped_for_a_minute(
        self, rig
    ) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        ended(rig, job_id, exit_code=75, started_at=NOW)
        scheduler.run_cycle()
        job = rig.job(job_id)
        assert (job.phase, job.attempt, job.requeues) == (Phase.QUEUED, 2, 0)
        assert "this job could not run there when it was last tried" in job.reason.message
        rig.clock.tick(61)
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.ADMITTED

    def test_a_node_is_tried_again_once_it_was_measured_busy_and_then_free(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        ended(rig, job_id, exit_code=75, started_at=NOW)
        for node in (make_node(busy=(0,)), make_node()):
            rig.monitors.answer = [node]
            scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.ADMITTED


class TestInternalError:
    def test_a_job_whose_handling_keeps_failing_ends_with_internal_error_and_the_next_starts(
        self, rig
    ) -> None:
        first, second, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()

        class Broken(dict):
            def __getitem__(self, key):
                raise RuntimeError("broken")

        create = rig.engine.create
        rig.engine.create = lambda workflow, *rest: (
            Broken()["x"]
            if workflow["metadata"]["name"] == name(first)
            else create(workflow, *rest)
        )
        for _ in range(5):
            scheduler.run_cycle()
        assert rig.job(first).reason.code is ReasonCode.INTERNAL_ERROR
        assert rig.job(second).phase is Phase.ADMITTED
        assert len(rig.alerts.sent) == 1


class TestHurry:
    def test_after_an_end_only_the_time_since_then_is_measured(self, rig) -> None:
        first, _, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
        scheduler.run_cycle()
        rig.monitors.answer = [make_node(busy=(0,))]
        ended(rig, first, exit_code=1, started_at=NOW)
        assert next_pause(scheduler.run_cycle(), 10) == HURRY_PAUSE_S
        rig.clock.tick(2)
        scheduler.run_cycle(full=False)
        assert rig.monitors.windows[-1] == {"gpu-1": 2.0}
        rig.clock.tick(9)
        report = scheduler.run_cycle(full=False)
        assert rig.monitors.windows[-1] == {}
        assert next_pause(report, 10) == 10

    def test_with_an_empty_queue_the_pause_is_as_long_as_ever(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        ended(rig, job_id, exit_code=1, started_at=NOW)
        assert next_pause(scheduler.run_cycle(), 10) == 10


def halt(scheduler: Scheduler, remedy: str) -> None:
    """Let Redis fail more often than it is retried."""
    while scheduler.vitals.outages.halt is None:
        scheduler.vitals.outages.redis.failed("Redis was unreachable.", remedy)


class TestOutages:
    def test_an_unreachable_redis_is_retried_three_times_and_then_halts_with_one_alert(
        self, rig
    ) -> None:
        rig.store = Store.connect("redis://127.0.0.1:1/0")
        scheduler = rig.scheduler()
        pauses = [scheduler.guarded_cycle(True) for _ in range(3)]
        assert pauses == [5, 5, 5]
        assert rig.alerts.sent == []
        for _ in range(4):
            scheduler.guarded_cycle(True)
        assert len(rig.alerts.sent) == 1
        assert "halted" in rig.alerts.sent[0]

    def test_it_resumes_by_itself(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        halt(scheduler, "Start it.")
        scheduler.guarded_cycle(True)
        assert rig.job(job_id).reason.code is ReasonCode.HALTED
        scheduler.guarded_cycle(True)
        assert rig.job(job_id).phase is Phase.ADMITTED
        assert [title for title in rig.alerts.sent if "resumed" in title]

    def test_with_resume_manual_it_waits_for_an_admin(self, rig) -> None:
        rig.settings = rig.settings.model_copy(update={"resume": "manual"})
        job_id, scheduler = rig.submit(), rig.scheduler()
        halt(scheduler, "Check it.")
        scheduler.run_cycle()
        assert rig.job(job_id).reason.code is ReasonCode.HALTED
        heartbeat = rig.store.heartbeat()
        assert heartbeat is not None
        assert heartbeat["halted"]["remedy"] == "Check it."
        rig.store.request_resume(rig.clock() + 1)
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.ADMITTED

    def test_an_unreachable_engine_backs_off_and_then_halts_with_one_alert(self, rig) -> None:
        scheduler = rig.scheduler()
        rig.engine.away = EngineUnavailable("no answer")
        pauses = [scheduler.guarded_cycle(True) for _ in range(12)]
        assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(pauses[:6]))
        assert all(30 <= pause <= 60 for pause in pauses[6:])
        assert len(rig.alerts.sent) == 1
        rig.engine.away = None
        scheduler.guarded_cycle(True)
        assert scheduler.vitals.outages.halt is None

    def test_an_outage_of_many_hours_does_not_end_the_loop(self, rig) -> None:
        scheduler = rig.scheduler()
        rig.engine.away = EngineUnavailable("no answer")
        scheduler.vitals.outages.engine.failures = 2000
        assert 30 <= scheduler.guarded_cycle(True) <= 60

    def test_a_resume_by_an_admin_does_not_claim_that_redis_is_back(self, rig) -> None:
        rig.settings = rig.settings.model_copy(update={"resume": "manual"})
        scheduler = rig.scheduler()
        halt(scheduler, "Check it.")
        rig.store.request_resume(rig.clock() + 1)
        scheduler.run_cycle()
        assert rig.alerts.sent[-1] == "Scheduling resumed: an admin requested it."

    def test_an_unexpected_error_does_not_end_the_loop(self, rig) -> None:
        scheduler = rig.scheduler()
        rig.monitors.nodes = lambda windows: 1 / 0
        assert scheduler.guarded_cycle(True) == 10

    def test_unreadable_queue_entries_send_one_alert_and_the_queue_continues(
        self, rig, raw_redis
    ) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        raw_redis.rpush("job_queue", "garbage")
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.job(job_id).phase is Phase.ADMITTED
        assert len(rig.alerts.sent) == 1


def test_cancel_of_a_running_job_stops_its_workflow_once_seen(rig) -> None:
    job_id, scheduler = rig.submit(), rig.scheduler()
    scheduler.run_cycle()
    started(rig, job_id)
    scheduler.run_cycle()
    rig.store.cancel(job_id, NOW)
    scheduler.run_cycle()
    assert rig.engine.stopped == [name(job_id)]
    ended(rig, job_id, exit_code=143, ended_by=EndedBy.STOP)
    scheduler.run_cycle()
    assert rig.job(job_id).phase is Phase.CANCELLED
    rig.store.retry(job_id, NOW, Caps())
    scheduler.run_cycle()
    assert rig.engine.created == [name(job_id), name(job_id, 2)]


@pytest.mark.parametrize("call", ["queue_length", "running", "heartbeat"])
def test_reads_raise_store_unavailable_if_redis_is_unreachable(call: str) -> None:
    with pytest.raises(StoreUnavailable):
        getattr(Store.connect("redis://127.0.0.1:1/0"), call)()


class TestReviewed:
    """Faults that a review found; each test failed before the fix."""

    def test_creates_without_an_answer_never_count_as_internal_errors(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        for _ in range(8):
            rig.engine.refuse = EngineUnavailable("timeout")
            scheduler.run_cycle()
        job = rig.job(job_id)
        assert (job.phase.is_finished, job.breaks) == (False, 0)
        assert rig.alerts.sent == ["timeout"]

    def test_the_heartbeat_reports_an_unreachable_engine(self, rig) -> None:
        scheduler = rig.scheduler()
        rig.engine.away = EngineUnavailable("The cluster does not answer.")
        for _ in range(8):
            scheduler.guarded_cycle(True)
        heartbeat = rig.store.heartbeat()
        assert heartbeat is not None
        assert heartbeat["halted"]["why"] == "The cluster does not answer."
        rig.clock.tick(45)
        scheduler.vitals.renew()  # as it does within a long backoff
        assert rig.store.heartbeat()["at"] > heartbeat["at"]

    def test_a_cycle_that_fails_again_and_again_sends_one_alert(self, rig) -> None:
        scheduler = rig.scheduler()
        rig.monitors.nodes = lambda windows: 1 / 0
        for _ in range(3):
            scheduler.guarded_cycle(True)
        assert len(rig.alerts.sent) == 1
        heartbeat = rig.store.heartbeat()
        assert heartbeat is not None
        assert "ZeroDivisionError" in heartbeat["summary"]

    def test_unreadable_records_beyond_the_heads_do_not_cause_an_endless_loop(
        self, rig, raw_redis
    ) -> None:
        rig.settings = rig.settings.model_copy(update={"max_running_jobs": 2})
        rig.monitors.answer = [make_node(gpus=2)]
        ids = [rig.submit("greedy") for _ in range(120)]
        raw_redis.hset(f"job:{ids[-1]}", "phase", "nonsense")
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert rig.job(ids[0]).phase is Phase.ADMITTED

    def test_a_broken_template_does_not_delay_other_jobs(self, rig) -> None:
        broken, fine, scheduler = (
            rig.submit("a", workflow="nowhere"),
            rig.submit("b"),
            rig.scheduler(),
        )
        scheduler.run_cycle()
        assert rig.job(fine).phase is Phase.ADMITTED
        reason = rig.job(broken).reason
        assert reason.code is ReasonCode.TEMPLATE_INVALID
        assert "cannot be read" in reason.message

    def test_a_workflow_that_is_being_stopped_keeps_its_gpu_until_it_has_ended(self, rig) -> None:
        gone, waiting, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
        rig.store.cancel(gone, NOW)
        rig.engine.made[name(gone)] = WorkflowStatus(
            name(gone), "u", gone, 1, WorkflowPhase.RUNNING, "gpu-1", ("GPU-00000000-gpu-1",)
        )
        scheduler.run_cycle()
        assert rig.job(waiting).phase is Phase.QUEUED
        ended(rig, gone, exit_code=143)
        scheduler.run_cycle()
        assert rig.job(waiting).phase is Phase.ADMITTED

    def test_a_finished_job_has_the_time_of_its_end_and_not_of_the_cycle_that_saw_it(
        self, rig
    ) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        started(rig, job_id)
        ended(rig, job_id, exit_code=1, finished_at=NOW + 100)
        rig.clock.tick(7200)
        scheduler.run_cycle()
        assert rig.job(job_id).finished_at == NOW + 100

    def test_two_requeued_jobs_keep_their_order(self, rig) -> None:
        rig.settings = rig.settings.model_copy(update={"max_running_jobs": 2})
        rig.monitors.answer = [make_node(gpus=2)]
        first, second, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
        scheduler.run_cycle()
        rig.clock.tick(1)
        rig.monitors.answer = [make_node(gpus=2, busy=(0, 1))]
        for job_id in (first, second):
            ended(rig, job_id, ended_by=EndedBy.EVICTION, started_at=NOW)
        scheduler.run_cycle()
        assert rig.store.order(0, 9) == [first, second]

    def test_a_job_that_misses_its_start_deadline_is_checked_closely_first(
        self, rig, monkeypatch
    ) -> None:
        """The list may be late, and may lack what the pod itself shows."""
        ids, scheduler = [rig.submit(user) for user in ("a", "b")], rig.scheduler()
        first, second = map(name, ids)
        scheduler.run_cycle()
        rig.clock.tick(601)
        close = replace(rig.engine.made[first], message="ErrImagePull: not found")
        monkeypatch.setattr(rig.engine, "get", {first: close}.get)
        scheduler.run_cycle()
        assert rig.job(ids[0]).reason.code is ReasonCode.START_DEADLINE
        assert "ErrImagePull: not found" in rig.job(ids[0]).reason.message
        rig.engine.set(first, phase=WorkflowPhase.FAILED, finished_at=rig.clock())
        scheduler.run_cycle()
        rig.clock.tick(601)
        started = replace(
            rig.engine.made[second], phase=WorkflowPhase.RUNNING, started_at=rig.clock()
        )
        monkeypatch.setattr(rig.engine, "get", {second: started}.get)
        scheduler.run_cycle()
        assert rig.job(ids[1]).phase is Phase.RUNNING

    def test_a_container_that_never_starts_fails_after_the_deadline(self, rig) -> None:
        job_id, scheduler = rig.submit(), rig.scheduler()
        scheduler.run_cycle()
        rig.clock.tick(601)
        scheduler.run_cycle()
        assert rig.job(job_id).reason.code is ReasonCode.START_DEADLINE
        assert rig.engine.stopped == [name(job_id)]
