"""Creates that fail for certain: tried again less and less often, and no news each time."""

import pytest

from devtools.testbed.fakes import FakeClock, make_node
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from scheduler.engines.contract import EngineError, EngineForbidden, WorkflowNotMade, WorkflowPhase
from scheduler.health.create_backoff import FIRST_S, LONGEST_RETRY_AFTER_S, LONGEST_S, CreateBackoff
from tests.unit.scheduler.conftest import Rig
from workflows.render import workflow_name

QUOTA = WorkflowNotMade("exceeded quota: gpus")


def refuse(rig: Rig, error: EngineError, monkeypatch: pytest.MonkeyPatch, *users: str) -> list[str]:
    """Let each create of these users (without any: of all) fail; return the job ids tried."""
    tried, create = [], rig.engine.create

    def fail(workflow, *rest):
        user = workflow["metadata"]["labels"]["gpuq/job-id"].partition("_")[0]
        if users and user not in users:
            return create(workflow, *rest)
        tried.append(workflow["metadata"]["labels"]["gpuq/job-id"])
        raise error

    monkeypatch.setattr(rig.engine, "create", fail)
    return tried


class TestPauses:
    def test_pauses_double_up_to_a_minute(self) -> None:
        clock = FakeClock()
        backoff, pauses = CreateBackoff(clock), []
        for _ in range(9):
            backoff.failed("a", QUOTA)
            began = clock.now
            while backoff.why_waits("a"):
                clock.tick(0.5)
            pauses.append(clock.now - began)
        assert pauses == [FIRST_S, 2, 4, 8, 16, 32, LONGEST_S, LONGEST_S, LONGEST_S]
        backoff.succeeded("a")
        backoff.failed("a", QUOTA)
        clock.tick(FIRST_S)
        assert not backoff.why_waits("a")

    @pytest.mark.parametrize(
        ("asked", "waits"), [(7, 7), (0.1, FIRST_S), (1e9, LONGEST_RETRY_AFTER_S)]
    )
    def test_the_engines_retry_after_is_honoured(self, asked: float, waits: float) -> None:
        clock = FakeClock()
        backoff = CreateBackoff(clock)
        backoff.failed("a", WorkflowNotMade("slow down", asked))
        clock.tick(waits - 0.01)
        assert (backoff.why_waits("a"), backoff.why_all_wait()) == ("slow down", "slow down")
        clock.tick(0.02)
        assert (backoff.why_waits("a"), backoff.why_all_wait()) == ("", "")


def test_quick_cycles_do_not_shorten_the_pauses(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, job_id, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
    scheduler.run_cycle()
    tried = refuse(rig, QUOTA, monkeypatch)
    rig.engine.set(
        workflow_name(rig.job(ended)),
        phase=WorkflowPhase.SUCCEEDED,
        exit_code=0,
        started_at=rig.clock(),
    )
    scheduler.run_cycle()
    for _ in range(40):
        rig.clock.tick(0.25)
        scheduler.run_cycle(full=False)
    assert tried == [job_id] * 4  # at once, and after 1, 2 and 4 s


@pytest.mark.parametrize("error", [QUOTA, EngineForbidden("workflows is forbidden")])
def test_the_same_reason_again_adds_no_line_to_the_timeline(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: EngineError
) -> None:
    job_id, scheduler = rig.submit(), rig.scheduler()
    queued_at = rig.job(job_id).queued_at
    tried = refuse(rig, error, monkeypatch)
    for _ in range(5):
        rig.clock.tick(61)
        scheduler.run_cycle()
    assert len(tried) == 5
    assert [line["to"] for line in rig.store.timeline(job_id)] == ["queued", "admitted", "queued"]
    assert (rig.job(job_id).queued_at, rig.job(job_id).reason.message) == (queued_at, str(error))
    tried = refuse(rig, WorkflowNotMade("The disk is full."), monkeypatch)
    rig.clock.tick(61)
    scheduler.run_cycle()
    assert len(rig.store.timeline(job_id)) == 3  # the newest message of the same reason code
    assert rig.store.timeline(job_id)[-1]["message"] == "The disk is full."


def test_the_other_jobs_wait_too_and_their_reasons_say_why(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, scheduler = rig.submit("a"), rig.submit("b"), rig.scheduler()
    tried = refuse(rig, QUOTA, monkeypatch)
    scheduler.run_cycle()
    scheduler.run_cycle()
    assert tried == [first]
    assert rig.job(first).reason.code is ReasonCode.CREATE_FAILED
    assert (rig.job(second).reason.code, rig.store.position(second)) == (ReasonCode.WAITING_TURN, 2)
    assert rig.job(first).reason.message.startswith("1st in line; ")
    told = rig.job(second).reason.message
    assert told.startswith("2nd in line; another job's workflow could not be created (")
    assert "exceeded quota" in told


def test_if_another_workflow_can_be_created_only_the_failed_job_waits(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.settings = rig.settings.model_copy(update={"max_running_jobs": 3})
    rig.monitors.answer = [make_node(gpus=4)]
    rig.submit("a")
    second, scheduler = rig.submit("b"), rig.scheduler()
    tried = refuse(rig, QUOTA, monkeypatch, "a")
    scheduler.run_cycle()
    third = rig.submit("c")
    scheduler.run_cycle()
    assert (len(tried), rig.job(second).phase, rig.job(third).phase) == (
        1,
        Phase.ADMITTED,
        Phase.ADMITTED,
    )
