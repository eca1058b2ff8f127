"""The reasons of a job that cannot start now, word for word."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job, make_node
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.resources import NodeReason
from scheduler.decide.capacity import Ledger, Limits, Node
from scheduler.decide.snapshot import CycleSnapshot
from scheduler.decide.waiting_reasons import no_node_passes, slots_full

PINNED = Limits(pins_gpus=True)
COUNTED = Limits(pins_gpus=False)
JOB = make_job(spec_gpus=2)
ZOE = make_job("zoe", phase=Phase.RUNNING, admitted_at=NOW - 900, started_at=NOW - 720)
OTHER = make_job("bob", phase=Phase.RUNNING)
BUSY = (
    NodeReason("gpu_busy", "GPU 0 is at 93 % in X.", 0),
    NodeReason("gpu_busy", "GPU 1 is at 94 % in X.", 1),
    NodeReason("gpu_busy", "GPU 2 is at 95 % in X.", 2),
)
ALL_BUSY = "GPU 0 is at 93 % in X; GPU 1 is at 94 % in X"


def why(*nodes: Node, ledger: Ledger | None = None, limits: Limits = PINNED, **more: Any) -> Reason:
    snapshot = CycleSnapshot(NOW, limits, nodes, **more)
    return no_node_passes(JOB, snapshot, ledger or Ledger())


def busy_node(gpus: int, busy: tuple[int, ...], reasons: Sequence[NodeReason] = BUSY) -> Node:
    node = make_node("gpu-1", gpus, busy=busy)
    assert node.snapshot is not None
    return replace(node, snapshot=replace(node.snapshot, reasons=tuple(reasons)))


def promised(node: Node, *numbers: int, phase: Phase = Phase.RUNNING) -> Ledger:
    """A ledger with one job on these GPUs of the node."""
    assert node.snapshot is not None
    uuids = [node.snapshot.gpus[number].uuid for number in numbers]
    ledger = Ledger()
    ledger.book(make_job("zoe", phase=phase, spec_gpus=len(numbers)), node.name, uuids)
    return ledger


class TestSlotsFull:
    @pytest.mark.parametrize(
        ("running", "message"),
        [
            ([], "an unmanaged workflow occupies the slot until it finishes"),
            ([ZOE], f"{ZOE.job_id} has been running for 12 minutes"),
            ([ZOE, OTHER], f"{ZOE.job_id} has been running for 12 minutes; 1 more job runs"),
            (
                [ZOE, OTHER, OTHER],
                f"{ZOE.job_id} has been running for 12 minutes; 2 more jobs run",
            ),
            (
                [replace(ZOE, started_at=None)],
                f"{ZOE.job_id} has been running for 15 minutes",
            ),
            (
                [replace(ZOE, phase=Phase.ADMITTED, started_at=None)],
                f"{ZOE.job_id} has been starting for 15 minutes",
            ),
            (
                [replace(ZOE, phase=Phase.ADMITTED, started_at=None, admitted_at=None)],
                f"{ZOE.job_id} has been starting for less than a minute",
            ),
            ([replace(ZOE, phase=Phase.QUEUED)], f"{ZOE.job_id} is starting now"),
            (
                [replace(ZOE, phase=Phase.QUEUED), OTHER],
                f"{ZOE.job_id} is starting now; 1 more job runs",
            ),
        ],
    )
    def test_the_longest_admitted_job_is_named_and_the_others_counted(
        self, running: list[Job], message: str
    ) -> None:
        expected = Reason(ReasonCode.SLOTS_FULL, message)
        assert slots_full(running, CycleSnapshot(NOW, PINNED)) == expected

    def test_the_time_that_it_still_needs_is_named_if_it_is_known(self) -> None:
        snapshot = CycleSnapshot(NOW, PINNED, remaining_s={ZOE.job_id: 1200, OTHER.job_id: 60})
        message = f"{ZOE.job_id} has been running for 12 minutes, with about 20 minutes left"
        assert slots_full([ZOE], snapshot).message == message
        assert slots_full([ZOE, OTHER], snapshot).message == f"{message}; 1 more job runs"
        unknown = replace(snapshot, remaining_s={ZOE.job_id: None})
        assert slots_full([ZOE], unknown).message == message.partition(",")[0]


class TestNodes:
    def test_without_a_node_no_monitor_is_known(self) -> None:
        assert why() == Reason(ReasonCode.MONITOR_UNAVAILABLE, "no resource monitor is known")

    def test_monitors_are_unavailable_if_none_of_them_answers(self) -> None:
        blind = [Node("gpu-1", error="no answer"), Node("gpu-2", error="too old")]
        expected = Reason(ReasonCode.MONITOR_UNAVAILABLE, "gpu-1: no answer; gpu-2: too old")
        assert why(*blind) == expected
        some = why(blind[0], make_node("gpu-2"))
        assert some == Reason(
            ReasonCode.RESOURCES_BUSY, "gpu-1: no answer; gpu-2 has 1 free GPU; the job needs 2"
        )

    def test_three_nodes_are_named(self) -> None:
        nodes = [Node(f"gpu-{number}", error="no answer") for number in range(4)]
        expected = "gpu-0: no answer; gpu-1: no answer; gpu-2: no answer"
        assert why(*nodes).message == expected

    def test_a_node_that_accepts_no_job_is_named_with_the_engines_reason(self) -> None:
        node = replace(make_node(), not_accepting="It is cordoned by X.")
        assert why(node).message == "gpu-1 is not accepting jobs: It is cordoned by X"

    def test_a_node_in_cooldown_is_skipped_by_that_job_only(self) -> None:
        text = "this job could not run there when it was last tried"
        cooldown = why(make_node(), cooldowns=frozenset({(JOB.job_id, "gpu-1")}))
        assert cooldown.message == f"skipping gpu-1 for up to a minute: {text}"
        others = frozenset({(OTHER.job_id, "gpu-1"), (JOB.job_id, "gpu-2")})
        assert why(make_node(), cooldowns=others).message == "gpu-1 has 1 free GPU; the job needs 2"


class TestWhatANodeLacks:
    def test_a_node_that_fails_the_gate_is_named_with_two_of_its_reasons(self) -> None:
        assert why(busy_node(3, (0, 1, 2))).message == f"gpu-1: {ALL_BUSY}"

    def test_so_is_a_node_without_gpus(self) -> None:
        cpu = make_node("cpu-1", gpus=0, available=False)
        assert why(cpu).message == "cpu-1: GPU 0 is at 93 % (limit: below 80 %)"
        assert why(make_node("cpu-1", gpus=0)).message == "cpu-1 is taken by a running job"

    def test_promised_gpus_are_counted(self) -> None:
        node = make_node(gpus=3)
        expected = "gpu-1 has 1 free GPU (2 promised to running jobs); the job needs 2"
        assert why(node, ledger=promised(node, 0, 1)).message == expected

    @pytest.mark.parametrize("limits", [PINNED, COUNTED])
    @pytest.mark.parametrize("gpus", [1, 2])
    def test_a_node_whose_gpus_are_all_promised_fails_because_of_our_jobs(
        self, limits: Limits, gpus: int
    ) -> None:
        node = busy_node(gpus, tuple(range(gpus)), BUSY[:gpus])
        reason = why(node, ledger=promised(node, *range(gpus)), limits=limits)
        expected = f"gpu-1 has 0 free GPUs ({gpus} promised to running jobs); the job needs 2"
        assert reason.message == expected

    @pytest.mark.parametrize("limits", [PINNED, COUNTED])
    def test_if_one_of_its_gpus_is_not_promised_its_reasons_are_named(self, limits: Limits) -> None:
        node = busy_node(3, (0, 1, 2))
        reason = why(node, ledger=promised(node, 0, 1), limits=limits)
        assert reason.message == f"gpu-1: {ALL_BUSY}"


class TestUseOutsideTheQueue:
    def test_two_busy_gpus_are_named(self) -> None:
        node = busy_node(4, (0, 1, 2))
        assert why(node).message == f"gpu-1 has 1 free GPU; the job needs 2; {ALL_BUSY}"

    def test_a_reason_about_the_whole_node_is_not_about_a_gpu(self) -> None:
        whole = NodeReason("cpu_busy", "The CPU is at 95 %.")
        node = busy_node(2, (0,), [whole, BUSY[0]])
        expected = "gpu-1 has 1 free GPU; the job needs 2; GPU 0 is at 93 % in X"
        assert why(node).message == expected

    def test_pinned_gpus_of_our_jobs_are_not_named(self) -> None:
        node = busy_node(3, (0, 1))
        expected = (
            "gpu-1 has 1 free GPU (1 promised to running jobs); the job needs 2; "
            "GPU 1 is at 94 % in X; GPU 2 is at 95 % in X"
        )
        assert why(node, ledger=promised(node, 0)).message == expected

    @pytest.mark.parametrize(
        ("phase", "ours", "named"),
        [
            (Phase.RUNNING, 2, False),
            (Phase.RUNNING, 3, False),
            (Phase.RUNNING, 1, True),
            (Phase.ADMITTED, 2, True),  # it causes no load yet
        ],
    )
    def test_if_gpus_are_only_counted_our_running_jobs_account_for_as_many(
        self, phase: Phase, ours: int, named: bool
    ) -> None:
        node = busy_node(5, (0, 1), BUSY[:2])
        ledger = Ledger()
        ledger.book(make_job("zoe", phase=phase, spec_gpus=ours), "gpu-1", ())
        message = why(node, ledger=ledger, limits=COUNTED).message
        assert message.endswith(
            f"; {ALL_BUSY}" if named else "promised to running jobs); the job needs 2"
        )

    def test_two_reasons_about_one_gpu_are_one_busy_gpu(self) -> None:
        again = replace(BUSY[0], message="GPU 0 has 100 MB free.")
        node = busy_node(3, (0,), [BUSY[0], again])
        ledger = Ledger()
        ledger.book(make_job("zoe", phase=Phase.RUNNING, spec_gpus=1), "gpu-1", ())
        expected = "gpu-1 has 2 free GPUs (1 promised to running jobs); the job needs 2"
        assert why(node, ledger=ledger, limits=COUNTED).message == expected
