"""The cycle with several nodes and an engine that counts GPUs.

The tests are about withdrawals, lost nodes and two schedulers.
"""

import pytest
import redis

from devtools.testbed.fakes import FakeEngine, make_node
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue.errors import StaleLeader
from jobqueue.failpoints import FailpointRaised
from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from jobqueue.store import keys
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from scheduler.decide.capacity import Node
from scheduler.engines.contract import EndedBy, Obstacle, Placement, WorkflowPhase
from tests.unit.scheduler.conftest import Rig

MESSAGE = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.engine = FakeEngine(pins_gpus=False)
    rig.settings = rig.settings.model_copy(update={"max_running_jobs": 4})
    rig.monitors.answer = [make_node("gpu-1")]
    return rig


def name(job_id: str, attempt: int = 1) -> str:
    return f"proto-gcn-{job_id.replace('_', '-')}" + (f"-r{attempt}" if attempt > 1 else "")


def sound(rig: Rig, *job_ids: str) -> None:
    """Check that nothing is lost or doubled; on a node that was declared dead nothing runs."""
    dead = rig.store.dead_nodes()
    live = [
        w
        for w in rig.engine.workflows()
        if w.is_live and not (w.obstacle is Obstacle.NODE_LOST and w.node in dead)
    ]
    gpus = {node.name: len(node.snapshot.gpus) for node in rig.monitors.answer if node.snapshot}
    assert (
        violations(rig.store, [LiveWorkflow(w.name, w.job_id) for w in live], job_ids, gpus=gpus)
        == []
    )


def test_jobs_are_spread_and_never_more_on_a_node_than_it_has_gpus(rig: Rig) -> None:
    rig.monitors.answer = [make_node("gpu-1", 2), make_node("gpu-2", 1)]
    ids = [rig.submit(user) for user in "abcde"]
    scheduler = rig.scheduler()
    scheduler.run_cycle()
    assert [rig.job(job_id).node for job_id in ids] == ["gpu-2", "gpu-1", "gpu-1", None, None]
    assert rig.engine.placements[name(ids[0])] == Placement("gpu-2")
    assert "free GPUs (2 promised to running jobs)" in rig.job(ids[3]).reason.message
    rig.engine.set(name(ids[0]), phase=WorkflowPhase.SUCCEEDED, exit_code=0, started_at=rig.clock())
    scheduler.run_cycle()
    assert rig.job(ids[3]).node == "gpu-2"
    sound(rig, *ids)


# -- short of GPUs after the create ----------------------------------------------------------------


@pytest.fixture
def short(rig: Rig) -> str:
    """Return a job that was admitted on gpu-1, which then had no free GPU."""
    job_id = rig.submit()
    rig.scheduler().run_cycle()
    rig.engine.set(name(job_id), obstacle=Obstacle.NO_GPU, message=MESSAGE)
    return job_id


class TestShort:
    def test_it_keeps_waiting_with_the_engines_reason(self, rig: Rig, short: str) -> None:
        scheduler = rig.scheduler()
        for _ in range(3):
            rig.clock.tick(700)
            scheduler.run_cycle()
        job = rig.job(short)
        assert (job.phase, job.reason.code) == (Phase.ADMITTED, ReasonCode.SHORT_OF_GPUS)
        assert MESSAGE.rstrip(".") in job.reason.message
        assert rig.engine.deleted == rig.engine.stopped == []

    def test_its_start_deadline_begins_when_a_gpu_is_released(self, rig: Rig, short: str) -> None:
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.clock.tick(7000)
        rig.engine.set(name(short), obstacle=Obstacle.NONE, message="ContainerCreating")
        scheduler.run_cycle()
        rig.clock.tick(599)
        scheduler.run_cycle()
        assert rig.job(short).reason.message == "ContainerCreating"
        rig.clock.tick(2)
        scheduler.run_cycle()
        assert rig.job(short).reason.code is ReasonCode.START_DEADLINE

    def test_it_moves_to_another_free_node_under_the_same_name(self, rig: Rig, short: str) -> None:
        scheduler, rig.engine.slow_to_delete = rig.scheduler(), True
        rig.monitors.answer = [make_node("gpu-1"), make_node("gpu-2")]
        waiting = rig.submit("zoe")
        scheduler.run_cycle()
        assert rig.engine.deleted == [name(short)]
        assert "Moving from gpu-1, which cannot run it, to gpu-2." in rig.job(short).reason.message
        for _ in range(
            2
        ):  # it is still there: nothing is made, and nobody takes the place it goes to
            scheduler.run_cycle()
        assert rig.engine.created == [name(short)]
        assert rig.job(waiting).phase is Phase.QUEUED
        rig.engine.settle()
        scheduler.run_cycle()
        job = rig.job(short)
        assert (job.phase, job.node, job.attempt, job.requeues) == (Phase.ADMITTED, "gpu-2", 1, 0)
        assert rig.engine.created == [name(short), name(short), name(waiting)]
        assert rig.engine.placements[name(short)].node == "gpu-2"
        assert job.withdrawn_uid is None
        sound(rig, short, waiting)

    def test_a_job_that_has_started_since_it_was_listed_stays(self, rig: Rig, short: str) -> None:
        rig.monitors.answer = [make_node("gpu-1"), make_node("gpu-2")]
        get = rig.engine.get

        def started(workflow_name: str):
            rig.engine.set(
                workflow_name,
                phase=WorkflowPhase.RUNNING,
                started_at=rig.clock(),
                obstacle=Obstacle.NONE,
            )
            return get(workflow_name)

        rig.engine.get = started
        rig.scheduler().run_cycle()
        assert rig.engine.deleted == []
        assert rig.job(short).withdrawn_uid is None

    def test_a_cancel_comes_first(self, rig: Rig, short: str) -> None:
        rig.monitors.answer = [make_node("gpu-1"), make_node("gpu-2")]
        rig.store.cancel(short, rig.clock())
        rig.scheduler().run_cycle()
        assert (rig.engine.stopped, rig.engine.deleted) == ([name(short)], [])

    def test_a_cancel_during_the_withdrawal_ends_it(self, rig: Rig, short: str) -> None:
        rig.monitors.answer = [make_node("gpu-1"), make_node("gpu-2")]
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.store.cancel(short, rig.clock())
        scheduler.run_cycle()
        assert rig.job(short).phase is Phase.CANCELLED
        assert rig.engine.created == [name(short)]

    def test_a_manual_deletion_cancels_it_all_the_same(self, rig: Rig, short: str) -> None:
        del rig.engine.made[name(short)]
        rig.scheduler().run_cycle()
        assert rig.job(short).reason.code is ReasonCode.WORKFLOW_DELETED

    @pytest.mark.parametrize("point", ["withdraw.marked", "withdraw.deleted"])
    @pytest.mark.parametrize("slow", [False, True])
    def test_a_scheduler_that_dies_during_a_withdrawal_loses_nothing(
        self, rig: Rig, short: str, monkeypatch: pytest.MonkeyPatch, point: str, slow: bool
    ) -> None:
        rig.monitors.answer, rig.engine.slow_to_delete = (
            [make_node("gpu-1"), make_node("gpu-2")],
            slow,
        )
        monkeypatch.setenv("GPUQ_TESTING", "1")
        monkeypatch.setenv("FAILPOINT", f"{point}:raise")
        with pytest.raises(FailpointRaised):
            rig.scheduler().run_cycle()
        monkeypatch.delenv("FAILPOINT")
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.engine.settle()
        scheduler.run_cycle()
        job = rig.job(short)
        assert (job.phase, job.attempt) == (Phase.ADMITTED, 1)
        assert rig.engine.created == [name(short)] * 2
        sound(rig, short)

    def test_a_stale_leader_withdraws_nothing(self, rig: Rig, short: str) -> None:
        rig.monitors.answer = [make_node("gpu-1"), make_node("gpu-2")]
        scheduler = rig.scheduler()
        get = rig.engine.get

        def overtaken(workflow_name: str):
            Leader.resign(rig.store, "me")
            Leader.lead(rig.store, "other", 60)
            return get(workflow_name)

        rig.engine.get = overtaken
        with pytest.raises(StaleLeader):
            scheduler.run_cycle()
        assert rig.engine.deleted == []


# -- a node that takes no pods ---------------------------------------------------------------------

CORDONED = "gpu-1 is cordoned; to let it accept pods again: kubectl uncordon gpu-1"


@pytest.fixture
def unschedulable(rig: Rig) -> str:
    """Return a job that was admitted on gpu-1, which is cordoned now."""
    job_id = rig.submit()
    rig.scheduler().run_cycle()
    rig.engine.set(name(job_id), obstacle=Obstacle.UNSCHEDULABLE, message=CORDONED)
    return job_id


class TestUnschedulable:
    def test_it_waits_without_a_deadline_and_no_other_job_is_sent_there(
        self, rig: Rig, unschedulable: str
    ) -> None:
        waiting, scheduler = rig.submit("zoe"), rig.scheduler()
        rig.monitors.answer = [make_node("gpu-1", gpus=2)]
        for _ in range(3):
            rig.clock.tick(700)
            scheduler.run_cycle()
        assert rig.job(unschedulable).reason.code is ReasonCode.UNSCHEDULABLE
        assert (
            rig.job(waiting).reason.message
            == f"1st in line; gpu-1 is not accepting jobs: {CORDONED}"
        )
        over = {
            "phase": WorkflowPhase.SUCCEEDED,
            "exit_code": 0,
            "started_at": rig.clock(),
            "message": "",
        }
        rig.engine.set(
            name(unschedulable), obstacle=Obstacle.NONE, **over
        )  # it ran within a moment
        scheduler.run_cycle()
        assert rig.job(unschedulable).phase is Phase.SUCCEEDED
        assert rig.job(waiting).node == "gpu-1"  # at once: it takes pods again
        sound(rig, unschedulable, waiting)

    def test_it_moves_to_a_free_node_and_the_next_job_starts_there_too(
        self, rig: Rig, unschedulable: str
    ) -> None:
        rig.monitors.answer = [make_node("gpu-1", gpus=2), make_node("gpu-2", gpus=2)]
        waiting, scheduler, rig.engine.slow_to_delete = rig.submit("zoe"), rig.scheduler(), True
        scheduler.run_cycle()
        assert rig.job(unschedulable).reason.code is ReasonCode.UNSCHEDULABLE
        assert (
            "Moving from gpu-1, which cannot run it, to gpu-2."
            in rig.job(unschedulable).reason.message
        )
        rig.engine.settle()
        for _ in range(2):
            scheduler.run_cycle()
        assert (rig.job(unschedulable).node, rig.job(unschedulable).attempt) == ("gpu-2", 1)
        assert rig.job(waiting).node == "gpu-2"
        sound(rig, unschedulable, waiting)


# -- a node that is lost ---------------------------------------------------------------------------


@pytest.fixture
def lost(rig: Rig) -> str:
    """Return a job that ran on gpu-1, which does not respond any more; gpu-2 is free."""
    rig.settings = rig.settings.model_copy(update={"max_running_jobs": 1})
    job_id = rig.submit()
    rig.scheduler().run_cycle()
    rig.engine.set(name(job_id), phase=WorkflowPhase.RUNNING, started_at=rig.clock())
    rig.scheduler().run_cycle()
    rig.engine.set(
        name(job_id), obstacle=Obstacle.NODE_LOST, message="The node gpu-1 does not answer"
    )
    rig.monitors.answer = [make_node("gpu-2")]
    return job_id


class TestNodeLost:
    def test_the_slot_stays_occupied_with_one_alert(self, rig: Rig, lost: str) -> None:
        waiting, scheduler = rig.submit("zoe"), rig.scheduler()
        for _ in range(3):
            scheduler.run_cycle()
        job = rig.job(lost)
        assert (job.phase, job.reason.code) == (Phase.RUNNING, ReasonCode.NODE_LOST)
        assert rig.job(waiting).phase is Phase.QUEUED
        assert rig.alerts.sent == [f"{lost}: {job.reason.message}"]
        assert rig.store.nodes()["gpu-1"]["error"] == "no monitor answers for it"
        sound(rig, lost, waiting)

    def test_no_reason_names_a_remaining_time_for_it(
        self, rig: Rig, lost: str, raw_redis: "redis.Redis"
    ) -> None:
        job = rig.job(lost)
        raw_redis.lpush(keys.durations(job.spec.user, job.spec.config)[0], 3600)
        waiting, scheduler = rig.submit("zoe"), rig.scheduler()
        rig.engine.set(name(lost), obstacle=Obstacle.NONE)
        scheduler.run_cycle()
        assert "left" in rig.job(waiting).reason.message
        rig.engine.set(name(lost), obstacle=Obstacle.NODE_LOST)
        scheduler.run_cycle()
        assert "has been running for" in rig.job(waiting).reason.message
        assert "left" not in rig.job(waiting).reason.message

    def test_after_a_declaration_its_job_resumes_elsewhere_and_its_old_workflow_occupies_nothing(
        self, rig: Rig, lost: str
    ) -> None:
        rig.monitors.answer.append(make_node("gpu-1"))  # its monitor may well answer from the grave
        rig.store.declare_dead("gpu-1", rig.clock())
        scheduler = rig.scheduler()
        for _ in range(2):
            scheduler.run_cycle()
        job = rig.job(lost)
        assert (job.phase, job.node, job.attempt, job.requeues) == (Phase.ADMITTED, "gpu-2", 2, 1)
        assert rig.engine.created == [name(lost), name(lost, 2)]
        assert name(lost) in rig.engine.stopped
        assert rig.store.nodes()["gpu-1"]["error"].startswith("declared dead at ")
        sound(rig, lost)

    def test_a_workflow_that_runs_again_on_a_node_declared_dead_is_stopped(
        self, rig: Rig, lost: str
    ) -> None:
        rig.store.declare_dead("gpu-1", rig.clock())
        rig.scheduler().run_cycle()
        rig.engine.stopped.clear()
        rig.engine.set(name(lost), obstacle=Obstacle.NONE)
        rig.scheduler().run_cycle()
        assert rig.engine.stopped == [name(lost)]

    def test_the_declaration_ends_when_an_admin_withdraws_it(self, rig: Rig, lost: str) -> None:
        rig.store.declare_dead("gpu-1", rig.clock())
        rig.monitors.answer = [make_node("gpu-1")]
        waiting, scheduler = rig.submit("zoe"), rig.scheduler()
        rig.engine.set(
            name(lost),
            phase=WorkflowPhase.FAILED,
            exit_code=1,
            obstacle=Obstacle.NONE,
            finished_at=rig.clock(),
        )
        scheduler.run_cycle()
        assert "gpuq admin node alive gpu-1" in rig.job(waiting).reason.message
        assert rig.store.declare_alive("gpu-1")
        scheduler.run_cycle()
        assert rig.job(waiting).node == "gpu-1"

    def test_the_engine_is_told_which_monitors_answered(self, rig: Rig, lost: str) -> None:
        rig.monitors.answer = [make_node("gpu-2"), Node("gpu-3", error="timed out")]
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        assert rig.engine.answering == {"gpu-2"}

    def test_a_node_that_answers_again_leaves_the_job_running(self, rig: Rig, lost: str) -> None:
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.engine.set(name(lost), obstacle=Obstacle.NONE, message="")
        scheduler.run_cycle()
        job = rig.job(lost)
        assert (job.phase, job.attempt, job.reason.message) == (
            Phase.RUNNING,
            1,
            "Running on gpu-1.",
        )


# -- two schedulers --------------------------------------------------------------------------------


@pytest.fixture
def paused(rig: Rig) -> "Paused":
    return Paused(rig)


class Paused:
    """A leader that pauses right before its create; `meanwhile` is what happens until it wakes."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.create = rig, rig.engine.create

    def wakes_after(self, meanwhile) -> None:
        def late(*args):
            self.rig.engine.create = self.create
            Leader.resign(self.rig.store, "me")  # its lease ran out
            meanwhile()
            return self.create(*args)

        self.rig.engine.create = late
        with pytest.raises(StaleLeader):
            self.rig.scheduler().run_cycle()


class TestTwoSchedulers:
    def test_a_late_create_finds_the_finished_workflow(self, rig: Rig, paused: Paused) -> None:
        job_id, other = rig.submit(), rig.scheduler("other")

        def meanwhile() -> None:
            other.run_cycle()  # asks the engine by name, queues it again and starts it
            rig.engine.set(
                name(job_id), phase=WorkflowPhase.SUCCEEDED, exit_code=0, started_at=rig.clock()
            )
            other.run_cycle()
            assert rig.job(job_id).phase is Phase.SUCCEEDED

        paused.wakes_after(meanwhile)
        assert rig.engine.created == [name(job_id)]
        other.run_cycle()
        assert rig.job(job_id).phase is Phase.SUCCEEDED
        sound(rig, job_id)

    def test_a_late_create_of_an_evicted_attempt_finds_its_finished_workflow(
        self, rig: Rig, paused: Paused
    ) -> None:
        job_id, other = rig.submit(), rig.scheduler("other")

        def meanwhile() -> None:
            other.run_cycle()
            rig.engine.set(
                name(job_id),
                phase=WorkflowPhase.FAILED,
                ended_by=EndedBy.EVICTION,
                started_at=rig.clock(),
            )
            other.run_cycle()

        paused.wakes_after(meanwhile)
        assert rig.engine.created == [name(job_id), name(job_id, 2)]
        sound(rig, job_id)

    def test_a_late_create_that_succeeds_is_adopted(self, rig: Rig, paused: Paused) -> None:
        """The other scheduler has requeued the job: it adopts the workflow and creates none."""
        job_id, other = rig.submit(), rig.scheduler("other")

        def meanwhile() -> None:
            rig.monitors.answer = [make_node("gpu-1", busy=(0,))]
            other.run_cycle()
            assert rig.job(job_id).phase is Phase.QUEUED

        paused.wakes_after(meanwhile)
        other.run_cycle()
        assert rig.job(job_id).workflow_uid == "uid-0"
        assert rig.engine.created == [name(job_id)]
        sound(rig, job_id)

    def test_a_late_create_for_a_cancelled_job_is_stopped(self, rig: Rig, paused: Paused) -> None:
        job_id, other = rig.submit(), rig.scheduler("other")

        def meanwhile() -> None:
            rig.monitors.answer = [make_node("gpu-1", busy=(0,))]
            other.run_cycle()
            rig.store.cancel(job_id, rig.clock())

        paused.wakes_after(meanwhile)
        other.run_cycle()
        assert rig.engine.stopped == [name(job_id)]
        assert rig.job(job_id).phase is Phase.CANCELLED

    def test_an_epoch_is_never_used_twice_even_if_redis_was_emptied(
        self, store: Store, raw_redis: "redis.Redis"
    ) -> None:
        seen = set()
        for _ in range(3):
            lead = Leader.lead(store, "me", 60)
            assert lead is not None
            seen.add(lead.epoch)
            raw_redis.flushall()
        assert len(seen) == 3

    def test_a_lead_renewed_after_redis_was_emptied_reconciles_first(self, rig: Rig) -> None:
        running, scheduler = rig.submit(), rig.scheduler()
        rig.settings = rig.settings.model_copy(update={"max_running_jobs": 1})
        scheduler = rig.scheduler()
        scheduler.run_cycle()
        rig.redis.flushall()
        scheduler.vitals.renew()
        rig.submit("zoe")
        scheduler.run_cycle(full=False)
        assert rig.engine.created == [name(running)]


def test_a_name_of_a_workflow_that_is_being_deleted_is_tried_again(rig: Rig) -> None:
    job_id, scheduler = rig.submit(), rig.scheduler()
    create, get = rig.engine.create, rig.engine.get
    scheduler.run_cycle()
    old = rig.engine.made[name(job_id)]
    rig.engine.set(name(job_id), obstacle=Obstacle.NO_GPU)
    rig.monitors.answer = [make_node("gpu-1"), make_node("gpu-2")]
    scheduler.run_cycle()  # withdrawn

    def still_there(*args):
        rig.engine.create, rig.engine.made[name(job_id)] = create, old
        try:
            return create(*args)
        finally:
            del rig.engine.made[name(job_id)]

    rig.engine.create = still_there
    scheduler.run_cycle()
    assert get(name(job_id)) is None
    assert rig.job(job_id).reason.code is ReasonCode.NAME_IN_USE
    scheduler.run_cycle()
    assert rig.job(job_id).phase is Phase.ADMITTED
    sound(rig, job_id)
