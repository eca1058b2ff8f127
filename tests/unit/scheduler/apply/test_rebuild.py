"""Redis emptied while jobs run: their records are restored from their workflows."""

import json
from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job, make_node
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue.failpoints import FailpointRaised
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from scheduler.apply.rebuilder import read
from scheduler.engines.contract import EndedBy, WorkflowPhase, WorkflowStatus
from tests.unit.scheduler.conftest import TEMPLATES, Rig
from workflows.render import ANNOTATION_SUBMISSION, load_template, render, workflow_name

JOB = make_job("ann", spec_gpus=2, spec_time_limit_s=60, spec_name="tuning", attempt=2)


def submission(job: Job = JOB) -> dict[str, Any]:
    rendered = render(load_template(TEMPLATES, "proto-gcn"), job)
    return dict(json.loads(rendered["metadata"]["annotations"][ANNOTATION_SUBMISSION]))


LIVE = WorkflowStatus(
    workflow_name(JOB),
    "uid",
    JOB.job_id,
    2,
    WorkflowPhase.RUNNING,
    "gpu-1",
    ("GPU-1",),
    NOW,
    submission=submission(),
)


class TestOneWorkflow:
    def test_a_live_workflow_restores_its_record(self) -> None:
        found = read(LIVE, "a: 1\n", NOW + 60)
        assert found is not None
        job = found.job
        assert (job.spec, job.entry, job.attempt) == (JOB.spec, JOB.entry, 2)
        assert (job.phase, job.started_at, job.node, job.gpu_uuids) == (
            Phase.RUNNING,
            NOW,
            "gpu-1",
            ("GPU-1",),
        )
        assert (job.workflow_name, job.workflow_uid) == (LIVE.name, "uid")

    def test_a_workflow_that_has_not_started_restores_an_admitted_job_with_its_whole_deadline(
        self,
    ) -> None:
        found = read(replace(LIVE, phase=WorkflowPhase.PENDING, started_at=None), "", NOW + 60)
        assert found is not None
        assert (found.job.phase, found.job.admitted_at, found.job.started_at) == (
            Phase.ADMITTED,
            NOW + 60,
            None,
        )

    @pytest.mark.parametrize(
        ("fields", "phase", "code"),
        [
            (
                {"phase": WorkflowPhase.SUCCEEDED, "exit_code": 0},
                Phase.SUCCEEDED,
                ReasonCode.SUCCEEDED,
            ),
            ({"exit_code": 1, "log_tail": ("boom",)}, Phase.FAILED, ReasonCode.TRAINING_FAILED),
            (
                {"exit_code": 143, "ended_by": EndedBy.STOP},
                Phase.CANCELLED,
                ReasonCode.WORKFLOW_DELETED,
            ),
            ({"ended_by": EndedBy.EVICTION}, Phase.FAILED, ReasonCode.EVICTED),
            ({"exit_code": 75}, Phase.FAILED, ReasonCode.EVICTED),
        ],
    )
    def test_a_workflow_that_has_ended_restores_a_finished_job(
        self, fields: dict[str, Any], phase: Phase, code: ReasonCode
    ) -> None:
        ended = replace(LIVE, **{"phase": WorkflowPhase.FAILED, "finished_at": NOW + 50, **fields})
        found = read(ended, "a: 1\n", NOW + 60)
        assert found is not None
        assert (found.job.phase, found.job.reason.code, found.job.finished_at) == (
            phase,
            code,
            NOW + 50,
        )
        assert found.job.result.log_tail == fields.get("log_tail", ())

    @pytest.mark.parametrize(
        "broken",
        [
            None,
            {},
            {**submission(), "entry": None},
            {**submission(), "entry": {**submission()["entry"], "job_id": "bob_20261124120001"}},
            {**submission(), "entry": {**submission()["entry"], "v": 9}},
            {**submission(), "entry": {**submission()["entry"], "timestamp": "yesterday"}},
            {**submission(), "user": "bob"},
            {**submission(), "gpus": "many"},
            {**submission(), "gpus": "-1"},
            {**submission(), "name": {"a": 1}},
            {**submission(), "workflow": "other"},
        ],
    )
    def test_an_inconsistent_submission_restores_nothing(
        self, broken: dict[str, Any] | None
    ) -> None:
        assert read(replace(LIVE, submission=broken), "", NOW) is None

    @pytest.mark.parametrize(
        "fields", [{"job_id": "ann_20261124120009"}, {"name": "by-hand"}, {"attempt": 1}]
    )
    def test_a_manual_copy_restores_nothing(self, fields: dict[str, Any]) -> None:
        assert read(replace(LIVE, **fields), "", NOW) is None


def name(job_id: str, attempt: int = 1) -> str:
    return f"proto-gcn-{job_id.replace('_', '-')}" + (f"-r{attempt}" if attempt > 1 else "")


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.settings = rig.settings.model_copy(
        update={"max_running_jobs": 3, "max_running_per_user": 2}
    )
    rig.monitors.answer = [make_node(gpus=4)]
    return rig


@pytest.fixture
def jobs(rig: Rig) -> list[str]:
    """Return a job that succeeded, two that run (of one user), one that starts, and one queued."""
    scheduler, ids = rig.scheduler(), [rig.submit(user) for user in ("done", "ann", "ann")]
    scheduler.run_cycle()
    for job_id in ids:
        rig.engine.set(name(job_id), phase=WorkflowPhase.RUNNING, started_at=NOW)
    scheduler.run_cycle()
    rig.engine.set(name(ids[0]), phase=WorkflowPhase.SUCCEEDED, exit_code=0, finished_at=NOW + 90)
    ids += [rig.submit("zoe"), rig.submit("waits")]
    scheduler.run_cycle()
    return ids


def lose(rig: Rig) -> None:
    rig.redis.flushall()


def sound(rig: Rig, *job_ids: str) -> None:
    live = [LiveWorkflow(w.name, w.job_id) for w in rig.engine.workflows() if w.is_live]
    assert violations(rig.store, live, job_ids) == []


class TestEmptiedRedis:
    def test_running_and_finished_jobs_are_restored(self, rig: Rig, jobs: list[str]) -> None:
        done, first, second, starting, _ = jobs
        before = {job_id: rig.job(job_id) for job_id in jobs}
        lose(rig)
        rig.scheduler().run_cycle()
        for job_id in (first, second, starting):
            after = rig.job(job_id)
            same = (
                "spec",
                "entry",
                "phase",
                "started_at",
                "attempt",
                "node",
                "gpu_uuids",
                "workflow_uid",
            )
            assert [getattr(after, field) for field in same] == [
                getattr(before[job_id], field) for field in same
            ]
        assert sorted(rig.store.running_raw()) == ["ann", "ann#2", "zoe"]
        assert (rig.job(done).phase, rig.job(done).finished_at) == (Phase.SUCCEEDED, NOW + 90)
        assert rig.store.durations([("done", "config.yaml")]) == {("done", "config.yaml"): 90.0}
        assert rig.store.timeline(first)[0]["message"].startswith("Redis had lost this job")
        assert rig.store.user_jobs("ann", 0, 9) == [second, first]
        assert rig.engine.stopped == []
        sound(rig, done, first, second, starting)

    def test_one_alert_counts_what_was_restored(self, rig: Rig, jobs: list[str]) -> None:
        lose(rig)
        scheduler = rig.scheduler()
        for _ in range(3):
            scheduler.run_cycle()
        [told] = rig.alerts.sent
        assert told.startswith("Redis had lost jobs; 3 that run (")
        assert "1 that have ended were restored from their workflows" in told

    def test_restored_jobs_continue_as_before(self, rig: Rig, jobs: list[str]) -> None:
        done, first, second, starting, _ = jobs
        lose(rig)
        scheduler = rig.scheduler()
        new = rig.submit("new")
        scheduler.run_cycle()
        assert rig.job(new).reason.code is ReasonCode.SLOTS_FULL
        rig.engine.set(name(first), phase=WorkflowPhase.FAILED, ended_by=EndedBy.EVICTION)
        rig.engine.set(
            name(second), phase=WorkflowPhase.SUCCEEDED, exit_code=0, finished_at=NOW + 100
        )
        scheduler.run_cycle()
        assert rig.job(second).phase is Phase.SUCCEEDED
        assert rig.engine.config_texts[name(first, 2)] == "a: 1\n"
        assert rig.job(new).phase is Phase.ADMITTED
        sound(rig, done, first, second, starting, new)

    def test_a_scheduler_that_dies_during_a_restore_continues_it(
        self, rig: Rig, jobs: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lose(rig)
        monkeypatch.setenv("GPUQ_TESTING", "1")
        monkeypatch.setenv("FAILPOINT", "rebuild.restored:raise")
        for _ in range(4):
            with pytest.raises(FailpointRaised):
                rig.scheduler().run_cycle()
        monkeypatch.delenv("FAILPOINT")
        rig.scheduler().run_cycle()
        assert len(rig.store.running()) == 3
        sound(rig, *jobs[:4])

    def test_redis_may_be_emptied_twice(self, rig: Rig, jobs: list[str]) -> None:
        scheduler = rig.scheduler()
        for _ in range(2):
            lose(rig)
            scheduler.run_cycle()
            assert len(rig.store.running()) == 3

    def test_the_newest_attempt_is_restored(self, rig: Rig, jobs: list[str]) -> None:
        first, scheduler = jobs[1], rig.scheduler()
        rig.engine.set(name(first), phase=WorkflowPhase.FAILED, ended_by=EndedBy.EVICTION)
        scheduler.run_cycle()
        lose(rig)
        scheduler.run_cycle()
        assert (rig.job(first).attempt, rig.job(first).phase) == (2, Phase.ADMITTED)
        assert rig.engine.stopped == []

    def test_a_job_whose_config_is_gone_is_restored_and_counted_in_the_alert(
        self, rig: Rig, jobs: list[str]
    ) -> None:
        del rig.engine.config_texts[name(jobs[1])]
        lose(rig)
        rig.scheduler().run_cycle()
        assert rig.job(jobs[1]).phase is Phase.RUNNING
        assert "The config of 1 is gone" in rig.alerts.sent[0]

    def test_a_workflow_without_a_submission_is_unmanaged_and_left_alone(
        self, rig: Rig, jobs: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig.engine.set(name(jobs[1]), submission=None)
        lose(rig)
        scheduler = rig.scheduler()
        asked: list[str] = []
        monkeypatch.setattr(rig.engine, "config_text", lambda workflow: asked.append(workflow.name))
        new = rig.submit("new")
        for _ in range(3):
            scheduler.run_cycle()
        assert len(rig.store.running()) == 2
        assert rig.job(new).phase is Phase.QUEUED
        assert [title for title in rig.alerts.sent if name(jobs[1]) in title] == [
            rig.alerts.sent[1]
        ]
        assert sorted(set(asked)) == sorted(asked)
        assert rig.engine.stopped == []

    def test_jobs_beyond_the_history_are_not_restored(self, rig: Rig, jobs: list[str]) -> None:
        rig.settings = rig.settings.model_copy(update={"history_jobs": 1})
        other = rig.submit("other")
        rig.store.cancel(other, NOW + 200)
        scheduler = rig.scheduler()
        for _ in range(3):
            scheduler.run_cycle()
        assert rig.store.finished(0, 9) == [other]
        assert rig.alerts.sent == []
        rig.settings = rig.settings.model_copy(update={"history_jobs": 9, "history_s": 50})
        rig.clock.tick(200)
        scheduler = rig.scheduler()
        for _ in range(3):
            scheduler.run_cycle()
        assert rig.alerts.sent == []

    def test_a_queue_from_an_older_backup_adopts_what_runs(self, rig: Rig, jobs: list[str]) -> None:
        """The backup is older than the start and than an eviction: the engine is ahead of it."""
        first, scheduler = jobs[1], rig.scheduler()
        old = replace(rig.job(first), phase=Phase.QUEUED, attempt=1)
        rig.engine.set(name(first), phase=WorkflowPhase.FAILED, ended_by=EndedBy.EVICTION)
        scheduler.run_cycle()
        rig.engine.set(name(first, 2), phase=WorkflowPhase.RUNNING, started_at=NOW)
        created = list(rig.engine.created)
        lose(rig)
        assert rig.store.restore_queued(old, NOW)
        scheduler.run_cycle()
        scheduler.run_cycle()
        assert (rig.job(first).phase, rig.job(first).attempt) == (Phase.RUNNING, 2)
        assert (rig.engine.created, rig.engine.stopped) == (created, [])
        sound(rig, first)
