"""The actions that follow from a job and its workflow."""

from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job
from jobqueue.job import Job, Result
from jobqueue.phase import Phase
from jobqueue.reason import NO_KNOWN_END, Reason, ReasonCode
from scheduler.decide.actions import (
    Action,
    Delete,
    Explain,
    ExtendStart,
    Finish,
    MarkRunning,
    RecordWorkflow,
    Requeue,
    Stop,
)
from scheduler.decide.next_action import (
    Conditions,
    is_gone,
    missed_start_deadline,
    next_actions,
)
from scheduler.engines.contract import EndedBy, Obstacle, WorkflowPhase, WorkflowStatus

ADMITTED = make_job(phase=Phase.ADMITTED, node="gpu-1", workflow_uid="uid", workflow_name="w")
RUNNING = replace(ADMITTED, phase=Phase.RUNNING, started_at=NOW)
TO_CANCEL = replace(RUNNING, cancel_requested_at=NOW)
PENDING = WorkflowStatus("w", "uid", ADMITTED.job_id, 1, WorkflowPhase.PENDING, "gpu-1")
LIVE = replace(PENDING, phase=WorkflowPhase.RUNNING, started_at=NOW)
ENDED = replace(
    LIVE, phase=WorkflowPhase.FAILED, exit_code=1, finished_at=NOW + 60, log_tail=("a", "boom")
)


def decide(job: Job, workflow: WorkflowStatus | None, **more: Any) -> list[Action]:
    return next_actions(job, workflow, Conditions(NOW, **more))


def test_no_answer_to_the_create_is_not_the_jobs_fault() -> None:
    [action] = decide(replace(ADMITTED, workflow_uid=None), None, is_unanswered=True)
    assert isinstance(action, Requeue)
    assert (action.attempt, action.breaks, action.reason.code) == (
        False,
        False,
        ReasonCode.ENGINE_UNREACHABLE,
    )


def test_a_container_that_does_not_start_in_time_fails_the_job() -> None:
    stop, finish = decide(
        replace(ADMITTED, admitted_at=NOW - 601), replace(PENDING, message="ErrImagePull")
    )
    assert stop == Stop(replace(PENDING, message="ErrImagePull"))
    assert isinstance(finish, Finish)
    assert finish.reason.code is ReasonCode.START_DEADLINE
    assert "ErrImagePull" in finish.reason.message
    assert isinstance(decide(replace(ADMITTED, admitted_at=NOW - 599), PENDING)[0], Explain)


def test_only_whole_trainings_feed_the_estimates() -> None:
    done = replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0)
    [first] = decide(RUNNING, done)
    [second] = decide(replace(RUNNING, attempt=2), replace(done, attempt=2))
    assert isinstance(first, Finish)
    assert isinstance(second, Finish)
    assert (first.run_time_s, second.run_time_s) == (60, None)


def test_a_job_whose_workflow_was_never_created_is_requeued_as_the_same_attempt() -> None:
    [action] = decide(replace(ADMITTED, workflow_uid=None), None)
    assert isinstance(action, Requeue)
    assert (action.attempt, action.counts, action.breaks) == (False, False, True)


def test_a_job_whose_workflow_was_deleted_manually_is_cancelled() -> None:
    [action] = decide(RUNNING, None)
    assert isinstance(action, Finish)
    assert (action.phase, action.reason.code) == (Phase.CANCELLED, ReasonCode.WORKFLOW_DELETED)


def test_a_workflow_that_is_not_recorded_is_adopted() -> None:
    assert decide(replace(ADMITTED, workflow_uid=None), LIVE)[0] == RecordWorkflow(LIVE)


@pytest.mark.parametrize("present", [replace(LIVE, job_id="other"), replace(LIVE, uid="other")])
def test_an_object_of_that_name_that_is_not_ours_is_not_adopted(present: WorkflowStatus) -> None:
    [action] = decide(ADMITTED, present)
    assert isinstance(action, Finish)
    assert action.reason.code is ReasonCode.NAME_TAKEN


def test_a_pending_workflow_gives_the_reason_starting() -> None:
    [action] = decide(ADMITTED, PENDING)
    assert isinstance(action, Explain)
    assert action.reason.code is ReasonCode.STARTING


def test_running_is_marked_once() -> None:
    assert decide(ADMITTED, LIVE) == [MarkRunning(NOW, "Running on gpu-1.")]
    assert decide(RUNNING, LIVE) == []


@pytest.mark.parametrize("workflow", [PENDING, LIVE])
def test_a_cancel_stops_a_live_workflow(workflow: WorkflowStatus) -> None:
    assert decide(TO_CANCEL, workflow) == [Stop(workflow)]


def test_a_success_between_two_cycles_passes_through_running() -> None:
    done = replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0)
    mark, finish = decide(ADMITTED, done)
    assert isinstance(mark, MarkRunning)
    assert isinstance(finish, Finish)
    assert (finish.phase, finish.run_time_s, finish.result.exit_code) == (Phase.SUCCEEDED, 60, 0)


def test_a_job_that_succeeded_before_its_cancel_stays_succeeded() -> None:
    [finish] = decide(TO_CANCEL, replace(ENDED, phase=WorkflowPhase.SUCCEEDED, exit_code=0))
    assert isinstance(finish, Finish)
    assert finish.phase is Phase.SUCCEEDED


@pytest.mark.parametrize(
    ("job", "exit_code", "ended_by", "phase", "code"),
    [
        (RUNNING, 1, EndedBy.ITSELF, Phase.FAILED, ReasonCode.TRAINING_FAILED),
        (RUNNING, 2, EndedBy.ITSELF, Phase.FAILED, ReasonCode.BAD_CONFIG),
        (RUNNING, 137, EndedBy.ITSELF, Phase.FAILED, ReasonCode.KILLED),
        (RUNNING, 139, EndedBy.ITSELF, Phase.FAILED, ReasonCode.KILLED),
        (RUNNING, 143, EndedBy.TIME_LIMIT, Phase.FAILED, ReasonCode.TIME_LIMIT),
        (RUNNING, 143, EndedBy.STOP, Phase.CANCELLED, ReasonCode.WORKFLOW_DELETED),
        (TO_CANCEL, 143, EndedBy.STOP, Phase.CANCELLED, ReasonCode.CANCELLED),
        (TO_CANCEL, 137, EndedBy.STOP, Phase.CANCELLED, ReasonCode.CANCELLED),
        (TO_CANCEL, 1, EndedBy.ITSELF, Phase.FAILED, ReasonCode.TRAINING_FAILED),
        (
            replace(RUNNING, requeues=3),
            None,
            EndedBy.EVICTION,
            Phase.FAILED,
            ReasonCode.REQUEUE_LIMIT,
        ),
    ],
)
def test_the_phase_and_the_reason_of_a_job_that_has_ended(
    job, exit_code, ended_by, phase, code
) -> None:
    [action] = decide(job, replace(ENDED, exit_code=exit_code, ended_by=ended_by))
    assert isinstance(action, Finish)
    assert (action.phase, action.reason.code) == (phase, code)
    assert action.result.log_tail == ("a", "boom")


@pytest.mark.parametrize(
    ("exit_code", "ended_by", "counts", "avoid", "code"),
    [
        (None, EndedBy.EVICTION, True, False, ReasonCode.EVICTED),
        (143, EndedBy.ITSELF, True, False, ReasonCode.EVICTED),
        (143, EndedBy.SHUTDOWN, False, False, ReasonCode.EVICTED),
        (137, EndedBy.SHUTDOWN, False, False, ReasonCode.EVICTED),
        (75, EndedBy.ITSELF, False, True, ReasonCode.GPU_BUSY),
    ],
)
def test_a_job_that_others_ended_is_requeued_as_the_next_attempt(
    exit_code, ended_by, counts, avoid, code
) -> None:
    [action] = decide(RUNNING, replace(ENDED, exit_code=exit_code, ended_by=ended_by))
    assert isinstance(action, Requeue)
    assert (action.attempt, action.counts, action.cool_down, action.reason.code) == (
        True,
        counts,
        avoid,
        code,
    )


@pytest.mark.parametrize(("limit", "said"), [(60, "60 s"), (None, "its template's time limit")])
def test_the_reason_names_whose_time_limit_it_was(limit: int | None, said: str) -> None:
    job = replace(RUNNING, spec=replace(RUNNING.spec, time_limit_s=limit))
    [action] = decide(job, replace(ENDED, ended_by=EndedBy.TIME_LIMIT))
    assert isinstance(action, Finish)
    assert (
        action.reason.message
        == f"Stopped at its time limit ({said}); a retry resumes from its checkpoint."
    )


def test_a_failure_shows_the_last_line_of_its_log() -> None:
    [action] = decide(RUNNING, ENDED)
    assert isinstance(action, Finish)
    assert action.reason.message == "The training ended with exit code 1."
    assert action.reason.detail == "boom"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        (
            {"exit_code": 137},
            ReasonCode.KILLED,
            "by signal 9 (often the kernel, because memory ran out).",
        ),
        ({"exit_code": 255}, ReasonCode.TRAINING_FAILED, "ended with exit code 255."),
        ({"exit_code": 137, "message": "OOMKilled"}, ReasonCode.KILLED, "by signal 9; OOMKilled."),
        (
            {"exit_code": None, "message": "no such template"},
            ReasonCode.TRAINING_FAILED,
            "did not run: no such template",
        ),
    ],
)
def test_a_failure_without_a_log_shows_the_engines_message(
    fields: dict[str, Any], code: ReasonCode, message: str
) -> None:
    [action] = decide(RUNNING, replace(ENDED, **{"log_tail": (), **fields}))
    assert isinstance(action, Finish)
    assert action.reason.code is code
    assert message in action.reason.sentence


def test_a_running_job_shows_the_engines_message_as_long_as_there_is_one() -> None:
    known = replace(RUNNING, reason=Reason(ReasonCode.RUNNING, "Running on gpu-1."))
    suspended = replace(LIVE, message="It is suspended; its container continues to run.")
    assert decide(known, LIVE) == []
    assert decide(known, suspended) == [Explain(Reason(ReasonCode.RUNNING, suspended.message))]
    told = replace(known, reason=Reason(ReasonCode.RUNNING, suspended.message))
    assert decide(told, suspended) == []
    assert decide(told, LIVE) == [Explain(known.reason)]


class TestShortOfGpus:
    """Short of GPUs after the create: the job keeps waiting (docs/founding-document.md)."""

    SHORT = replace(
        PENDING,
        obstacle=Obstacle.NO_GPU,
        message="0/2 nodes are available: 2 Insufficient nvidia.com/gpu",
    )

    def test_it_waits_beyond_every_deadline_with_the_engines_message(self) -> None:
        [action] = decide(replace(ADMITTED, admitted_at=NOW - 86400), self.SHORT)
        assert isinstance(action, Explain)
        assert action.reason.code is ReasonCode.SHORT_OF_GPUS
        assert action.reason.message.startswith(
            "No free GPU on gpu-1; the job starts when one is released (0/2"
        )

    def test_a_job_that_its_node_does_not_accept_waits_with_the_engines_message(self) -> None:
        refused = replace(
            PENDING,
            obstacle=Obstacle.UNSCHEDULABLE,
            message="0/1 nodes are available: 1 Insufficient memory.",
        )
        [action] = decide(replace(ADMITTED, admitted_at=NOW - 86400), refused)
        assert isinstance(action, Explain)
        assert action.reason.code is ReasonCode.UNSCHEDULABLE
        assert action.reason.message == (
            "The pod cannot be scheduled on gpu-1; the job starts when gpu-1 or another node can "
            "run it (0/1 nodes are available: 1 Insufficient memory)."
        )

    @pytest.mark.parametrize("code", sorted(NO_KNOWN_END))
    def test_its_deadline_begins_when_it_has_a_gpu(self, code: ReasonCode) -> None:
        waited = replace(ADMITTED, admitted_at=NOW - 86400, reason=Reason(code, "It waits."))
        assert decide(waited, PENDING)[0] == ExtendStart()
        begun = replace(waited, reason=Reason(ReasonCode.STARTING, "Starting."))
        assert isinstance(decide(replace(begun, waited_until=NOW - 599), PENDING)[0], Explain)
        assert isinstance(decide(replace(begun, waited_until=NOW - 601), PENDING)[-1], Finish)

    def test_a_controller_that_is_down_is_not_the_jobs_fault(self) -> None:
        unattended = replace(
            PENDING, obstacle=Obstacle.UNATTENDED, message="The Argo controller is not running."
        )
        [action] = decide(replace(ADMITTED, admitted_at=NOW - 86400), unattended)
        assert action == Explain(
            Reason(ReasonCode.CONTROLLER_DOWN, "The Argo controller is not running.")
        )


class TestWithdrawal:
    JOB = replace(ADMITTED, withdrawn_uid="uid")

    def test_the_workflow_is_deleted_as_long_as_it_exists(self) -> None:
        assert decide(self.JOB, PENDING) == [Delete(PENDING)]

    @pytest.mark.parametrize("workflow", [None, replace(PENDING, uid="another")])
    def test_once_it_is_gone_the_job_is_requeued_as_the_same_attempt(
        self, workflow: WorkflowStatus | None
    ) -> None:
        [action] = decide(self.JOB, workflow)
        assert isinstance(action, Requeue)
        assert (action.attempt, action.counts, action.breaks, action.cool_down) == (
            False,
            False,
            False,
            True,
        )
        assert action.reason.code is ReasonCode.SHORT_OF_GPUS

    def test_the_requeue_repeats_why_the_job_was_withdrawn(self) -> None:
        job = replace(self.JOB, reason=Reason(ReasonCode.UNSCHEDULABLE, "Moving from gpu-1."))
        [action] = decide(job, None)
        assert isinstance(action, Requeue)
        text = "Requeued at the front: gpu-1 did not accept the job."
        assert action.reason == Reason(ReasonCode.UNSCHEDULABLE, text)

    def test_a_workflow_that_started_after_all_continues(self) -> None:
        assert decide(self.JOB, LIVE) == [MarkRunning(NOW, "Running on gpu-1.")]

    def test_a_job_that_had_started_when_it_was_deleted_is_requeued_as_the_next_attempt(
        self,
    ) -> None:
        [action] = decide(replace(RUNNING, withdrawn_uid="uid"), None)
        assert isinstance(action, Requeue)
        assert action.attempt


class TestNodeLost:
    LOST = replace(LIVE, obstacle=Obstacle.NODE_LOST, message="The node gpu-1 is not responding")
    SINCE = "The node gpu-1 is not responding (first seen 2026-11-18T11:06:40.000Z)"
    WORDS = f"{SINCE}; if it is certain that it is off, run: gpuq admin node dead gpu-1"

    def test_the_slot_is_kept_and_the_reason_names_the_remedy(self) -> None:
        assert decide(RUNNING, self.LOST) == [Explain(Reason(ReasonCode.NODE_LOST, self.WORDS))]
        assert decide(RUNNING, replace(self.LOST, message="")) == decide(RUNNING, self.LOST)

    def test_the_reason_keeps_the_time_when_it_was_first_seen(self) -> None:
        known = replace(RUNNING, reason=Reason(ReasonCode.NODE_LOST, self.WORDS))
        assert next_actions(known, self.LOST, Conditions(NOW + 3600)) == []

    def test_a_lost_node_suspends_the_start_deadline(self) -> None:
        lost = replace(PENDING, obstacle=Obstacle.NODE_LOST, message=self.LOST.message)
        assert decide(replace(ADMITTED, admitted_at=NOW - 86400), lost) == [
            Explain(Reason(ReasonCode.NODE_LOST, self.WORDS))
        ]

    def test_a_cancel_is_passed_on_and_waits_for_the_node(self) -> None:
        assert decide(TO_CANCEL, self.LOST) == [
            Stop(self.LOST),
            Explain(Reason(ReasonCode.NODE_LOST, self.WORDS)),
        ]

    def test_a_job_on_a_node_declared_dead_is_evicted(self) -> None:
        stop, requeue = decide(RUNNING, self.LOST, dead_nodes={"gpu-1"})
        assert stop == Stop(self.LOST)
        assert isinstance(requeue, Requeue)
        assert (requeue.attempt, requeue.counts, requeue.reason.code) == (
            True,
            True,
            ReasonCode.EVICTED,
        )
        assert (
            requeue.reason.message
            == "The node gpu-1 was declared dead; requeued at the front to resume from its "
            "checkpoint."
        )

    def test_a_declaration_alone_does_not_move_a_job(self) -> None:
        """Its node answers the cluster, so its container runs, whatever an admin declares."""
        assert decide(RUNNING, LIVE, dead_nodes={"gpu-1"}) == []

    def test_the_fourth_eviction_fails_the_job_unless_it_is_to_be_cancelled(self) -> None:
        finish = decide(replace(RUNNING, requeues=3), self.LOST, dead_nodes={"gpu-1"})[-1]
        assert isinstance(finish, Finish)
        assert finish.reason.code is ReasonCode.REQUEUE_LIMIT
        assert isinstance(
            decide(replace(TO_CANCEL, requeues=3), self.LOST, dead_nodes={"gpu-1"})[-1], Requeue
        )

    @pytest.mark.parametrize(
        ("job", "code"), [(RUNNING, ReasonCode.RUNNING), (TO_CANCEL, ReasonCode.CANCELLING)]
    )
    def test_the_reason_changes_once_the_node_answers_again(
        self, job: Job, code: ReasonCode
    ) -> None:
        action = decide(replace(job, reason=Reason(ReasonCode.NODE_LOST, self.WORDS)), LIVE)[-1]
        assert isinstance(action, Explain)
        assert action.reason.code is code

    def test_a_withdrawal_on_a_node_declared_dead_ends(self) -> None:
        lost = replace(PENDING, obstacle=Obstacle.NODE_LOST)
        assert decide(TestWithdrawal.JOB, lost) == [Delete(lost)]
        assert isinstance(decide(TestWithdrawal.JOB, lost, dead_nodes={"gpu-1"})[-1], Requeue)


class TestWords:
    """The reasons and requeues of a job that has not ended, as whole values."""

    def test_without_a_workflow(self) -> None:
        never = replace(ADMITTED, workflow_uid=None)
        text = (
            "Requeued at the front: the engine did not respond to the create, and has no workflow."
        )
        assert decide(never, None, is_unanswered=True) == [
            Requeue(Reason(ReasonCode.ENGINE_UNREACHABLE, text), attempt=False)
        ]
        text = "Requeued at the front: the scheduler stopped before it had created the workflow."
        assert decide(never, None) == [
            Requeue(Reason(ReasonCode.SCHEDULER_RESTARTED, text), attempt=False, breaks=True)
        ]
        text = "Its workflow w was deleted manually; a retry resumes from its checkpoint."
        reason = Reason(ReasonCode.WORKFLOW_DELETED, text)
        assert decide(RUNNING, None) == [Finish(Phase.CANCELLED, reason)]

    def test_a_name_that_is_taken(self) -> None:
        text = (
            "The name w is taken by an object that does not belong to this job; remove it, "
            "then retry the job."
        )
        reason = Reason(ReasonCode.NAME_TAKEN, text)
        assert decide(ADMITTED, replace(LIVE, uid="other")) == [Finish(Phase.FAILED, reason)]

    def test_a_workflow_that_is_not_recorded_yet_is_recorded_before_all_else(self) -> None:
        new = replace(ADMITTED, workflow_uid=None)
        marked = MarkRunning(NOW, "Running on gpu-1.")
        assert decide(new, LIVE) == [RecordWorkflow(LIVE), marked]
        lost = replace(LIVE, obstacle=Obstacle.NODE_LOST)
        assert decide(new, lost)[:2] == [RecordWorkflow(lost), marked]
        ended = decide(new, ENDED)
        assert ended[:2] == [RecordWorkflow(ENDED), marked]
        assert len(ended) == 3

    def test_a_withdrawal(self) -> None:
        text = "Requeued at the front: gpu-1 had no free GPU for the job."
        reason = Reason(ReasonCode.SHORT_OF_GPUS, text)
        job = replace(ADMITTED, withdrawn_uid="uid")
        assert decide(job, None) == [Requeue(reason, attempt=False, cool_down=True)]
        running = replace(job, phase=Phase.RUNNING)
        assert decide(running, None) == [Requeue(reason, attempt=True, cool_down=True)]

    def test_a_job_that_starts(self) -> None:
        text = "Starting on gpu-1; no container runs yet."
        assert decide(ADMITTED, PENDING) == [Explain(Reason(ReasonCode.STARTING, text))]
        pulling = replace(PENDING, message="Pulling the image.")
        reason = Reason(ReasonCode.STARTING, "Pulling the image.")
        assert decide(ADMITTED, pulling) == [Explain(reason)]

    @pytest.mark.parametrize(
        ("obstacle", "code", "text"),
        [
            (
                Obstacle.NO_GPU,
                ReasonCode.SHORT_OF_GPUS,
                "No free GPU on gpu-1; the job starts when one is released (It is full: X).",
            ),
            (
                Obstacle.UNSCHEDULABLE,
                ReasonCode.UNSCHEDULABLE,
                "The pod cannot be scheduled on gpu-1; the job starts when gpu-1 or another node "
                "can run it (It is full: X).",
            ),
            (Obstacle.UNATTENDED, ReasonCode.CONTROLLER_DOWN, "It is full: X."),
        ],
    )
    def test_a_job_that_cannot_start(self, obstacle: Obstacle, code: ReasonCode, text: str) -> None:
        stuck = replace(PENDING, obstacle=obstacle, message="It is full: X.")
        assert decide(ADMITTED, stuck) == [Explain(Reason(code, text))]

    def test_a_missed_start_deadline(self) -> None:
        late = replace(ADMITTED, admitted_at=NOW - 61)
        text = "Its container did not start within 60 s (Pulling.)"
        reason = Reason(ReasonCode.START_DEADLINE, text)
        pulling = replace(PENDING, message="Pulling.")
        actions = decide(late, pulling, start_deadline_s=60)
        assert actions == [Stop(pulling), Finish(Phase.FAILED, reason)]
        assert missed_start_deadline(actions)
        assert not missed_start_deadline(actions[:1])
        assert not missed_start_deadline(decide(RUNNING, ENDED))

    @pytest.mark.parametrize(
        ("fields", "is_late"),
        [
            ({"admitted_at": NOW - 600}, False),
            ({"admitted_at": NOW - 601}, True),
            ({"admitted_at": NOW - 601, "waited_until": NOW - 600}, False),
            ({"admitted_at": None}, False),
        ],
    )
    def test_the_deadline_is_600_seconds(self, fields: dict[str, Any], is_late: bool) -> None:
        assert missed_start_deadline(decide(replace(ADMITTED, **fields), PENDING)) is is_late

    def test_nothing_is_unanswered_or_dead_unless_it_is_known(self) -> None:
        assert Conditions(NOW) == Conditions(NOW, 600, is_unanswered=False, dead_nodes=())
        assert Conditions(NOW).is_unanswered is False

    def test_an_extended_deadline_comes_with_the_reason(self) -> None:
        waited = replace(ADMITTED, reason=Reason(ReasonCode.UNSCHEDULABLE, "It waits."))
        text = "Starting on gpu-1; no container runs yet."
        explained = Explain(Reason(ReasonCode.STARTING, text))
        assert decide(waited, PENDING) == [ExtendStart(), explained]

    def test_a_cancel_is_explained_if_the_reason_is_over(self) -> None:
        lost = replace(TO_CANCEL, reason=Reason(ReasonCode.NODE_LOST, "It is lost."))
        text = "Cancel requested; the job is being stopped."
        expected = [Stop(LIVE), Explain(Reason(ReasonCode.CANCELLING, text))]
        assert decide(lost, LIVE) == expected
        known = replace(TO_CANCEL, reason=Reason(ReasonCode.RUNNING, "Running on gpu-1."))
        assert decide(known, LIVE) == [Stop(LIVE)]
        admitted = replace(lost, phase=Phase.ADMITTED)
        assert decide(admitted, LIVE) == [MarkRunning(NOW, "Running on gpu-1."), *expected]

    @pytest.mark.parametrize(
        "code",
        [
            ReasonCode.NODE_LOST,
            ReasonCode.CONTROLLER_DOWN,
            ReasonCode.ENGINE_UNREACHABLE,
            ReasonCode.OBJECT_REFUSED,
        ],
    )
    def test_these_reasons_end_when_the_engine_reports_that_the_job_runs(
        self, code: ReasonCode
    ) -> None:
        stuck = replace(RUNNING, reason=Reason(code, "It is stuck."))
        expected = Explain(Reason(ReasonCode.RUNNING, "Running on gpu-1."))
        assert decide(stuck, LIVE) == [expected]

    def test_the_node_is_the_workflows_or_else_the_jobs(self) -> None:
        elsewhere = replace(LIVE, node="gpu-2")
        assert decide(ADMITTED, elsewhere) == [MarkRunning(NOW, "Running on gpu-2.")]
        unknown = replace(LIVE, node=None)
        assert decide(ADMITTED, unknown) == [MarkRunning(NOW, "Running on gpu-1.")]
        ended = decide(ADMITTED, replace(ENDED, node=None))
        assert ended[0] == MarkRunning(NOW, "Running on gpu-1.")

    def test_an_end_has_no_result_and_no_times_unless_they_are_known(self) -> None:
        reason = Reason(ReasonCode.WORKFLOW_DELETED, "It was deleted.")
        assert Finish(Phase.FAILED, reason) == Finish(
            Phase.FAILED, reason, Result(None, ()), at=None, run_time_s=None
        )

    @pytest.mark.parametrize(
        ("fields", "job_node", "named"),
        [
            ({"node": "gpu-2"}, "gpu-1", "The node gpu-2 is not responding"),
            ({"node": None}, "gpu-1", "The node gpu-1 is not responding"),
            ({"message": "gpu-1 has gone to X."}, "gpu-1", "gpu-1 has gone to X"),
        ],
    )
    def test_a_lost_node_is_named(
        self, fields: dict[str, Any], job_node: str | None, named: str
    ) -> None:
        lost = replace(LIVE, obstacle=Obstacle.NODE_LOST, **fields)
        [explain] = decide(replace(RUNNING, node=job_node), lost)
        assert isinstance(explain, Explain)
        assert explain.reason.message.startswith(f"{named} (first seen 2026-11-18T11:06:40.000Z)")

    def test_a_dead_node_is_named(self) -> None:
        lost = replace(LIVE, obstacle=Obstacle.NODE_LOST, node="gpu-2")
        text = (
            "The node gpu-2 was declared dead; requeued at the front to resume from its checkpoint."
        )
        reason = Reason(ReasonCode.EVICTED, text)
        expected = [Stop(lost), Requeue(reason, counts=True)]
        assert decide(RUNNING, lost, dead_nodes={"gpu-2"}) == expected
        assert is_gone(lost, {"gpu-2"})
        assert not is_gone(lost, {"gpu-1"})
        assert not is_gone(replace(lost, obstacle=Obstacle.NO_GPU), {"gpu-2"})

    @pytest.mark.parametrize(
        ("fields", "is_marked"),
        [
            ({}, True),
            ({"started_at": None}, False),
            ({"started_at": None, "phase": WorkflowPhase.SUCCEEDED}, True),
        ],
    )
    def test_a_job_that_ended_at_once_has_run_if_its_container_started(
        self, fields: dict[str, Any], is_marked: bool
    ) -> None:
        ended = replace(ENDED, **fields)
        first = decide(ADMITTED, ended)[0]
        assert (first == MarkRunning(ended.started_at, "Running on gpu-1.")) is is_marked
        assert len(decide(RUNNING, ended)) == 1
