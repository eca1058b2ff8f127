"""What is promised, what is free, and which nodes there are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job, make_node
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.resources import NodeSnapshot
from scheduler.decide.capacity import (
    Ledger,
    Limits,
    Node,
    free_count,
    free_uuids,
    known_nodes,
)
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus

PINNED = Limits(pins_gpus=True)
COUNTED = Limits(pins_gpus=False)
UNMANAGED = WorkflowStatus("w", "u", "gone", 1, WorkflowPhase.RUNNING, "gpu-1", ("GPU-a", "GPU-b"))


def holder(phase: Phase, gpus: int = 1, uuids: tuple[str, ...] = (), node: str = "gpu-1") -> Job:
    return make_job("zoe", 9, phase, node=node, spec_gpus=gpus, gpu_uuids=uuids)


def snapshot_of(node: Node) -> NodeSnapshot:
    assert node.snapshot is not None
    return node.snapshot


def test_one_job_runs_at_a_time_on_a_gpu_unless_the_settings_differ() -> None:
    assert Limits() == Limits(max_running=1, max_per_user=1, require_gpu=True, pins_gpus=True)
    assert Node("gpu-1") == Node("gpu-1", None, error="", not_accepting="", is_dead=False)


class TestLedger:
    def test_a_running_job_has_a_slot_its_gpus_and_its_node(self) -> None:
        ledger = Ledger.of([holder(Phase.RUNNING, 2, ("GPU-a", "GPU-b"))], [])
        assert (ledger.slots, ledger.users) == (1, Counter({"zoe": 1}))
        assert (ledger.uuids, ledger.nodes) == ({"GPU-a", "GPU-b"}, {"gpu-1"})
        assert (ledger.promised, ledger.starting["gpu-1"]) == (Counter({"gpu-1": 2}), 0)

    @pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.ADMITTED])
    def test_the_gpus_of_a_job_that_starts_are_not_measured_yet(self, phase: Phase) -> None:
        ledger = Ledger.of([holder(phase, 2)], [])
        assert (ledger.promised["gpu-1"], ledger.starting["gpu-1"]) == (2, 2)

    def test_everything_adds_up(self) -> None:
        jobs = [holder(Phase.RUNNING, 2, ("GPU-c",)), holder(Phase.ADMITTED, 3, ("GPU-d",))]
        ledger = Ledger.of(jobs, [UNMANAGED, UNMANAGED])
        assert (ledger.slots, ledger.users["zoe"]) == (4, 2)
        assert ledger.uuids == {"GPU-a", "GPU-b", "GPU-c", "GPU-d"}
        assert (ledger.promised["gpu-1"], ledger.starting["gpu-1"]) == (9, 3)

    def test_a_job_without_a_node_has_a_slot_only(self) -> None:
        ledger = Ledger.of([replace(holder(Phase.ADMITTED), node=None)], [])
        assert ledger.slots == 1
        assert (ledger.nodes, ledger.promised, ledger.starting) == (set(), Counter(), Counter())

    def test_a_promise_takes_no_slot(self) -> None:
        ledger = Ledger()
        ledger.promise("gpu-1", 2)
        ledger.promise("gpu-2", 1, ("GPU-a",), is_starting=False)
        assert (ledger.slots, ledger.users, ledger.uuids) == (0, Counter(), {"GPU-a"})
        assert (ledger.promised["gpu-1"], ledger.starting["gpu-1"]) == (2, 2)
        assert (ledger.promised["gpu-2"], ledger.starting["gpu-2"]) == (1, 0)
        assert ledger.nodes == {"gpu-1", "gpu-2"}

    @pytest.mark.parametrize(
        ("phase", "starting"), [(WorkflowPhase.RUNNING, 0), (WorkflowPhase.PENDING, 2)]
    )
    def test_an_unmanaged_workflow_has_a_slot_and_no_user(
        self, phase: WorkflowPhase, starting: int
    ) -> None:
        ledger = Ledger.of([], [replace(UNMANAGED, phase=phase)])
        assert (ledger.slots, ledger.users, ledger.nodes) == (1, Counter(), {"gpu-1"})
        assert ledger.uuids == {"GPU-a", "GPU-b"}
        assert (ledger.promised["gpu-1"], ledger.starting["gpu-1"]) == (2, starting)

    @pytest.mark.parametrize(
        ("submission", "uuids", "gpus"),
        [
            ({"gpus": "3"}, (), 3),
            ({"gpus": "3"}, ("GPU-a",), 3),
            ({"gpus": "many"}, ("GPU-a", "GPU-b"), 2),
            ({"gpus": ""}, ("GPU-a", "GPU-b"), 2),
            ({}, (), 1),
            (None, (), 1),
            (None, ("GPU-a", "GPU-b"), 2),
        ],
    )
    def test_an_unmanaged_workflow_has_as_many_gpus_as_it_was_submitted_with(
        self, submission: Mapping[str, Any] | None, uuids: tuple[str, ...], gpus: int
    ) -> None:
        workflow = replace(UNMANAGED, submission=submission, gpu_uuids=uuids)
        assert Ledger.of([], [workflow]).promised["gpu-1"] == gpus


class TestFree:
    def test_pinned_gpus_are_free_if_they_pass_and_are_not_promised(self) -> None:
        node = snapshot_of(make_node(gpus=4, busy=(1,)))
        uuids = [gpu.uuid for gpu in node.gpus]
        ledger = Ledger.of([holder(Phase.RUNNING, uuids=(uuids[0],))], [])
        assert free_uuids(node, ledger) == (uuids[2], uuids[3])
        assert free_count(node, ledger, PINNED) == 2

    @pytest.mark.parametrize(
        ("phase", "busy", "free"),
        [
            (Phase.RUNNING, (), 3),
            (Phase.RUNNING, (0,), 3),
            (Phase.RUNNING, (0, 1), 2),
            (Phase.ADMITTED, (), 3),
            (Phase.ADMITTED, (0,), 2),
            (Phase.ADMITTED, (0, 1, 2), 0),
            (Phase.ADMITTED, (0, 1, 2, 3), 0),
        ],
    )
    def test_counted_gpus_are_the_fewer_of_unpromised_and_measured(
        self, phase: Phase, busy: tuple[int, ...], free: int
    ) -> None:
        node = snapshot_of(make_node(gpus=4, busy=busy))
        assert free_count(node, Ledger.of([holder(phase)], []), COUNTED) == free

    def test_a_node_with_more_promised_than_it_has_offers_none(self) -> None:
        node = snapshot_of(make_node(gpus=1))
        assert free_count(node, Ledger.of([holder(Phase.RUNNING, 3)], []), COUNTED) == 0


class TestKnownNodes:
    def test_they_are_sorted_by_name_and_each_is_listed_once(self) -> None:
        answers = [make_node("c"), make_node("a")]
        nodes = known_nodes(answers, {"d": NOW}, ["b", "a"], {})
        assert [node.name for node in nodes] == ["a", "b", "c", "d"]
        assert (nodes[0], nodes[2]) == (answers[1], answers[0])

    def test_a_node_of_our_jobs_without_an_answer_has_an_error(self) -> None:
        assert known_nodes([], {}, ["", "b"], {}) == [Node("b", error="no monitor answers for it")]

    def test_the_reason_of_a_node_that_accepts_no_job_is_kept(self) -> None:
        nodes = known_nodes([make_node("a")], {}, ["b"], {"a": "cordoned", "b": "full", "c": "?"})
        assert [node.not_accepting for node in nodes] == ["cordoned", "full"]
        assert [node.not_accepting for node in known_nodes([make_node("a")], {}, [], {})] == [""]

    def test_a_dead_node_has_no_snapshot_and_the_command_that_revives_it(self) -> None:
        [node] = known_nodes([make_node("a")], {"a": NOW}, ["a"], {"a": "cordoned"})
        words = "declared dead at 2026-11-18T11:06:40.000Z; if it is back, run: "
        assert node == Node("a", error=f"{words}gpuq admin node alive a", is_dead=True)
