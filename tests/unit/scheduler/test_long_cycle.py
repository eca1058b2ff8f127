"""Cycles that take long because something answers slowly: signs of life, lease, no job's fault."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.testbed.fakes import FakeClock, make_node
from jobqueue.errors import StaleLeader
from jobqueue.phase import Phase
from jobqueue.store.leader import Leader
from scheduler.engines.argo.errors import NoAnswer, Refused
from scheduler.engines.argo.pods import Pods
from scheduler.engines.contract import EngineUnavailable, WorkflowNotMade, WorkflowPhase
from scheduler.loop import Scheduler
from tests.unit.scheduler.conftest import Rig
from tests.unit.scheduler.engines.argo_shapes import make_pod, terminated
from workflows.render import workflow_name


def slowly(
    rig: Rig, call: str, meanwhile: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let each such call of the engine take half a lease, in which `meanwhile` happens."""
    quick = getattr(rig.engine, call)

    def slow(*args: Any) -> Any:
        rig.clock.tick(rig.settings.lease_s / 2)
        meanwhile()
        return quick(*args)

    monkeypatch.setattr(rig.engine, call, slow)


class TestSignsOfLife:
    @pytest.fixture
    def path(self, rig: Rig, tmp_path: Path) -> Path:
        path = tmp_path / "heartbeat"
        rig.settings = rig.settings.model_copy(
            update={"heartbeat_file": path, "max_running_jobs": 3}
        )
        rig.monitors.answer = [make_node(gpus=3)]
        return path

    def test_a_sign_of_life_between_any_two_jobs(
        self, rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids, scheduler, seen = [rig.submit(user) for user in "abc"], rig.scheduler(), []

        def look() -> None:
            seen.append(path.exists())
            path.unlink(missing_ok=True)

        slowly(rig, "create", look, monkeypatch)
        scheduler.run_cycle()
        assert seen == [True] * 3
        for job_id in ids:
            rig.store.cancel(job_id, rig.clock())
        seen.clear()
        slowly(rig, "stop", look, monkeypatch)
        scheduler.run_cycle()
        assert seen[1:] == [True] * 2
        assert path.exists()

    def test_a_sign_of_life_between_any_two_other_workflows(
        self, rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ids, scheduler, seen = [rig.submit(user) for user in "abc"], rig.scheduler(), []
        scheduler.run_cycle()
        for job_id in ids:
            rig.engine.set(
                workflow_name(rig.job(job_id)),
                phase=WorkflowPhase.SUCCEEDED,
                exit_code=0,
                started_at=1.0,
            )
        scheduler.run_cycle()
        rig.clock.tick(rig.settings.workflow_retention_s + 1)

        def look() -> None:
            seen.append(path.exists())
            path.unlink(missing_ok=True)

        slowly(rig, "delete", look, monkeypatch)
        scheduler.run_cycle()
        assert seen[1:] == [True] * 2

    def test_the_engine_can_give_signs_of_life(
        self, rig: Rig, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def look() -> list[Any]:
            path.unlink(missing_ok=True)
            rig.engine.keep_alive()
            assert path.exists()
            return []

        monkeypatch.setattr(rig.engine, "workflows", look)
        rig.scheduler().run_cycle()


class TestLease:
    def test_the_lease_is_renewed_in_time(
        self, rig: Rig, raw_redis: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig.submit()
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.engine.made.clear()
        slowly(rig, "get", lambda: raw_redis.pexpire("scheduler_leader", 1000), monkeypatch)
        scheduler.run_cycle()
        assert raw_redis.pttl("scheduler_leader") > 1000

    @pytest.mark.parametrize("is_taken", [True, False])
    def test_a_cycle_whose_lease_has_expired_is_abandoned(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, is_taken: bool
    ) -> None:
        first = rig.submit("a")
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.engine.set(
            workflow_name(rig.job(first)),
            phase=WorkflowPhase.SUCCEEDED,
            exit_code=0,
            started_at=1.0,
        )
        scheduler.run_cycle()
        rig.submit("b")
        rig.clock.tick(rig.settings.workflow_retention_s + 1)

        def lose() -> None:
            Leader.resign(rig.store, "me")
            assert not is_taken or Leader.lead(rig.store, "other", 60)

        slowly(rig, "delete", lose, monkeypatch)
        with pytest.raises(StaleLeader):
            scheduler.run_cycle()
        assert len(rig.engine.created) == 1
        assert scheduler.guarded_cycle(True) > 0
        assert len(rig.engine.created) == (1 if is_taken else 2)


@pytest.mark.parametrize("error", [EngineUnavailable("timeout"), WorkflowNotMade("429"), None])
def test_creates_that_outlast_the_lease_never_count_as_internal_errors(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Two schedulers take the lead from each other, each in the middle of the other's create."""
    job_id, pair, create = (
        rig.submit(),
        [rig.scheduler("one"), rig.scheduler("two")],
        rig.engine.create,
    )
    for number in range(6):
        _outlast(rig, job_id, pair[number % 2], pair[1 - number % 2], error, monkeypatch)
        rig.clock.tick(61)
    monkeypatch.setattr(rig.engine, "create", create)
    rig.monitors.answer = [make_node()]
    for scheduler in pair * 2:
        scheduler.guarded_cycle(True)
    assert (rig.job(job_id).phase, rig.job(job_id).breaks) == (Phase.ADMITTED, 0)


def _outlast(
    rig: Rig,
    job_id: str,
    slow: Scheduler,
    other: Scheduler,
    error: Exception | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(*_args: object) -> str:
        Leader.resign(rig.store, slow.vitals.lead.holder)  # its lease ran out
        rig.monitors.answer = [make_node(busy=(0,))]
        other.guarded_cycle(True)
        assert rig.job(job_id).phase is Phase.QUEUED
        if error is not None:
            raise error
        return "uid of one that was deleted since"

    monkeypatch.setattr(rig.engine, "create", late)
    rig.monitors.answer = [make_node()]
    Leader.resign(rig.store, other.vitals.lead.holder)
    slow.guarded_cycle(True)
    slow.guarded_cycle(True)
    assert rig.job(job_id).phase is Phase.QUEUED


class Kubelets:
    """An API server whose kubelets do not answer: each log takes as long as a call may."""

    def __init__(self, clock: FakeClock, takes_s: float = 15, answer: str | Exception = "") -> None:
        self.clock, self.takes_s, self.answer = clock, takes_s, answer
        self.asked: list[str] = []
        self.ready = "True"

    def call(
        self, method: str, path: str, query: object = None, body: object = None
    ) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": "Ready", "status": self.ready}]}}

    def text(self, path: str, query: object) -> str:
        self.asked.append(path)
        self.clock.tick(self.takes_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def ended(node: str = "gpu-1") -> dict[str, Any]:
    return make_pod("Failed", terminated(1)) | {"spec": {"nodeName": node}}


class TestLogs:
    def test_the_time_of_a_cycle_for_logs_is_limited(self) -> None:
        clock = FakeClock()
        api = Kubelets(clock, answer=NoAnswer("timed out"))
        pods = Pods(api, "gpuq", clock)  # type: ignore[arg-type]
        assert [pods.log_tail(ended(f"gpu-{number}")) for number in range(32)] == [()] * 32
        assert len(api.asked) == 1
        api.answer = "one\n"
        pods.begin_cycle()
        assert pods.log_tail(ended()) == ("one",)

    def test_no_log_is_requested_from_a_lost_node(self) -> None:
        clock = FakeClock()
        api = Kubelets(clock, 0, "one\n")
        pods = Pods(api, "gpuq", clock)  # type: ignore[arg-type]
        api.ready = "Unknown"
        assert pods.node_is_lost("gpu-1", 0)
        assert (pods.log_tail(ended()), pods.log_tail(ended("gpu-2"))) == ((), ("one",))
        clock.tick(31)
        api.ready = "True"
        assert pods.log_tail(ended()) == ("one",)

    def test_a_node_that_gave_no_log_is_not_asked_again_in_this_cycle(self) -> None:
        clock = FakeClock()
        api = Kubelets(clock, 0.1, NoAnswer("reset"))
        pods = Pods(api, "gpuq", clock)  # type: ignore[arg-type]
        for _ in range(3):
            pods.log_tail(ended())
        assert len(api.asked) == 2  # two tries
        api.answer = Refused(404, "container not found")
        for _ in range(3):
            pods.log_tail(ended("gpu-2"))
        assert len(api.asked) == 5
