"""Who starts where, and what the others are told."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.phase import Phase
from jobqueue.reason import ReasonCode
from jobqueue.resources import GpuProcess, NodeSnapshot, Thresholds
from resource_monitor.decision import decide
from resource_monitor.reading import GpuReading, GpuReport, HostReading, Sample
from scheduler.admission import Limits, Node, nominate, ordinal
from scheduler.engine import WorkflowPhase, WorkflowStatus
from tests.fakes import NOW, make_job, make_node

ONE = Limits()
MANY = Limits(max_running=10)


def names(nomination: object) -> list[str]:
    return [admission.job.job_id for admission in nomination.admissions]  # type: ignore[attr-defined]


def why(nomination: object, number: int = 0) -> tuple[ReasonCode, str]:
    reason = nomination.reasons[number][1]  # type: ignore[attr-defined]
    return reason.code, reason.message


def running(user: str = "zoe", node: str = "gpu-1", uuids: Sequence[str] = ("GPU-00000000-gpu-1",)):
    return make_job(
        user, 9, Phase.RUNNING, node=node, gpu_uuids=tuple(uuids), started_at=NOW - 720, admitted_at=NOW - 730
    )


def test_the_head_starts_on_a_free_node() -> None:
    nomination = nominate([make_job("a"), make_job("b")], [make_node()], [], ONE, NOW)
    [admission] = nomination.admissions
    assert (admission.job.spec.user, admission.node, admission.gpu_uuids) == ("a", "gpu-1", ("GPU-00000000-gpu-1",))
    assert why(nomination) == (ReasonCode.SLOTS_FULL, f"1st in line; {admission.job.job_id} starts just now")


def test_while_one_runs_the_others_wait_and_are_told_for_whom() -> None:
    nomination = nominate([make_job("a"), make_job("b")], [make_node()], [running()], ONE, NOW)
    assert names(nomination) == []
    assert why(nomination, 0) == (
        ReasonCode.SLOTS_FULL,
        "1st in line; zoe_20261124120009 has been running for 12 minutes",
    )
    assert why(nomination, 1)[0] is ReasonCode.WAITING_TURN
    assert why(nomination, 1)[1].startswith("2nd in line; zoe_")


def test_how_long_it_still_takes_is_told_where_it_is_known() -> None:
    job = running()
    nomination = nominate([make_job("a")], [make_node()], [job], ONE, NOW, left_s={job.job_id: 1200.0})
    assert why(nomination)[1].endswith("has been running for 12 minutes, about 20 minutes left")


def test_a_busy_node_is_named_with_its_number() -> None:
    nomination = nominate([make_job()], [make_node(busy=(0,))], [], ONE, NOW)
    assert why(nomination) == (
        ReasonCode.RESOURCES_BUSY,
        "1st in line; gpu-1: GPU 0 is at 93 % (limit: below 80 %)",
    )


def test_a_monitor_without_an_answer_is_not_available() -> None:
    nomination = nominate([make_job()], [Node("gpu-1", error="the monitor cannot be reached")], [], ONE, NOW)
    assert names(nomination) == []
    assert why(nomination) == (
        ReasonCode.MONITOR_UNAVAILABLE,
        "1st in line; gpu-1: the monitor cannot be reached",
    )


def test_no_node_at_all() -> None:
    assert why(nominate([make_job()], [], [], ONE, NOW))[0] is ReasonCode.MONITOR_UNAVAILABLE


def test_a_gpu_is_free_only_by_ledger_and_measurement() -> None:
    """Just admitted, NVML still shows its GPU free; the reservation holds."""
    nomination = nominate([make_job()], [make_node()], [running()], MANY, NOW)
    assert names(nomination) == []
    assert "0 of 1 GPUs free (1 held by running jobs)" in why(nomination)[1]


def test_the_second_gpu_of_the_node_goes_to_the_second_job() -> None:
    jobs = [make_job("a"), make_job("b"), make_job("c")]
    nomination = nominate(jobs, [make_node(gpus=2)], [], MANY, NOW)
    assert [admission.gpu_uuids for admission in nomination.admissions] == [
        ("GPU-00000000-gpu-1",),
        ("GPU-00000001-gpu-1",),
    ]
    assert len(nomination.reasons) == 1


def test_another_node_is_taken_where_the_first_is_busy() -> None:
    nomination = nominate([make_job()], [make_node(busy=(0,)), make_node("gpu-2")], [], ONE, NOW)
    assert nomination.admissions[0].node == "gpu-2"


def test_several_gpus_must_pass_on_one_node() -> None:
    wants_two = make_job(spec_gpus=2)
    nodes = [make_node("gpu-1", 2, busy=(0,)), make_node("gpu-2", 2)]
    assert nominate([wants_two], nodes, [], ONE, NOW).admissions[0].node == "gpu-2"
    assert names(nominate([wants_two], nodes[:1], [], ONE, NOW)) == []


def test_a_head_that_does_not_fit_now_is_not_overtaken() -> None:
    heads = [make_job("a", spec_gpus=2), make_job("b")]
    nomination = nominate(heads, [make_node(gpus=2, busy=(0,))], [], MANY, NOW)
    assert names(nomination) == []
    assert why(nomination, 1)[0] is ReasonCode.WAITING_TURN


def test_what_could_never_fit_is_passed_over() -> None:
    heads = [make_job("a", spec_gpus=4), make_job("b")]
    nomination = nominate(heads, [make_node(gpus=2)], [], MANY, NOW)
    assert [admission.job.spec.user for admission in nomination.admissions] == ["b"]
    assert why(nomination) == (
        ReasonCode.NEVER_FITS,
        "1st in line; asks for 4 GPUs, but the largest node has 2",
    )


def test_as_long_as_a_node_is_unknown_anything_might_fit() -> None:
    heads = [make_job("a", spec_gpus=4), make_job("b")]
    nomination = nominate(heads, [make_node(gpus=2), Node("gpu-2", error="away")], [], MANY, NOW)
    assert names(nomination) == []


def test_a_user_at_the_limit_is_passed_over() -> None:
    heads = [make_job("zoe", 1), make_job("a")]
    nomination = nominate(heads, [make_node(gpus=2)], [running("zoe")], MANY, NOW)
    assert [admission.job.spec.user for admission in nomination.admissions] == ["a"]
    assert why(nomination) == (
        ReasonCode.USER_LIMIT,
        "1st in line; zoe already runs 1 of at most 1 at once",
    )


def test_when_all_heads_are_passed_over_it_asks_for_more() -> None:
    heads = [make_job("zoe", 1), make_job("zoe", 2)]
    assert nominate(heads, [make_node(gpus=2)], [running("zoe")], MANY, NOW).wants_more
    assert not nominate(heads, [make_node(gpus=2)], [running("zoe")], ONE, NOW).wants_more


def test_a_node_where_the_gpu_was_taken_after_all_is_avoided() -> None:
    job = make_job()
    pairs = frozenset({(job.job_id, "gpu-1")})
    assert names(nominate([job], [make_node()], [], ONE, NOW, pairs)) == []
    assert nominate([job], [make_node(), make_node("gpu-2")], [], ONE, NOW, pairs).admissions[0].node == "gpu-2"


def test_a_node_without_gpus_is_one_slot_where_none_is_required() -> None:
    laptop = make_node("laptop", gpus=0)
    limits = Limits(max_running=5, require_gpu=False)
    nomination = nominate([make_job("a"), make_job("b")], [laptop], [], limits, NOW)
    assert [admission.gpu_uuids for admission in nomination.admissions] == [()]
    assert names(nominate([make_job("a")], [laptop], [running(node="laptop", uuids=())], limits, NOW)) == []


def test_live_workflows_that_the_queue_does_not_know_occupy_slots() -> None:
    stray = WorkflowStatus("w", "u", "gone", 1, WorkflowPhase.RUNNING, "gpu-1", ("GPU-00000000-gpu-1",))
    nomination = nominate([make_job()], [make_node()], [], ONE, NOW, strays=[stray])
    assert names(nomination) == []
    assert "no record" in why(nomination)[1]
    [admission] = nominate([make_job()], [make_node(gpus=2)], [], MANY, NOW, strays=[stray]).admissions
    assert admission.gpu_uuids == ("GPU-00000001-gpu-1",)


def test_a_template_that_cannot_be_used_holds_nobody_up() -> None:
    heads = [make_job("a", spec_workflow="other"), make_job("b")]
    nomination = nominate(heads, [make_node()], [], ONE, NOW, unfit={"other": "The template other cannot be read."})
    assert [admission.job.spec.user for admission in nomination.admissions] == ["b"]
    assert why(nomination) == (ReasonCode.ENGINE_UNAVAILABLE, "1st in line; The template other cannot be read.")


def test_reasons_for_the_first_hundred_only() -> None:
    heads = [make_job(f"u{number}") for number in range(150)]
    assert len(nominate(heads, [], [], ONE, NOW).reasons) == 100


@pytest.mark.parametrize(
    ("number", "word"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_ordinal(number: int, word: str) -> None:
    assert ordinal(number) == word


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 4)), max_size=12),
    st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 3)), st.booleans()), max_size=4),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_never_more_than_there_is(
    wishes: list[tuple[str, int]], shapes: list[tuple[int, set[int], bool]], max_running: int, per_user: int
) -> None:
    heads = [make_job(user, number, spec_gpus=gpus) for number, (user, gpus) in enumerate(wishes)]
    nodes = [make_node(f"n{i}", gpus, up, tuple(busy)) for i, (gpus, busy, up) in enumerate(shapes)]
    nomination = nominate(heads, nodes, [], Limits(max_running, per_user), NOW)
    uuids = [uuid for admission in nomination.admissions for uuid in admission.gpu_uuids]
    assert len(uuids) == len(set(uuids))
    assert len(nomination.admissions) <= max_running
    users = [admission.job.spec.user for admission in nomination.admissions]
    assert all(users.count(user) <= per_user for user in users)
    free = {
        gpu.uuid
        for node in nodes
        if node.snapshot and node.snapshot.available
        for gpu in node.snapshot.gpus
        if gpu.available
    }
    assert set(uuids) <= free
    assert all(len(admission.gpu_uuids) == admission.job.spec.gpus for admission in nomination.admissions)
    assert len(nomination.admissions) + len(nomination.reasons) == len(heads)
    assert all(reason.message for _, reason in nomination.reasons)


BY_BOB = "used by pid 4242 of bob (22,100 MB)"


def monitored(*gpus: GpuReading) -> Node:
    """A node as its monitor describes it, over the wire."""
    host = HostReading(10.0, (0.1, 0.1, 0.1), 1000, 8000, 12.5)
    samples = [Sample(at, 0.5, host, GpuReport(gpus)) for at in (9.0, 9.5, 10.0)]
    snapshot = decide(samples, Thresholds(), node="gpu-1", now=10.0)
    return Node("gpu-1", NodeSnapshot.decode(json.dumps(snapshot.encode())))


def card(index: int, utilization: int = 3) -> GpuReading:
    bob = (GpuProcess(4242, 22_100, "bob"),)
    return GpuReading(index, f"GPU-{index}", "H100", 100, 24_000, 23_900, utilization, processes=bob, process_count=1)


def test_who_uses_a_gpu_outside_the_queue_reads_well_to_the_end() -> None:
    nomination = nominate([make_job()], [monitored(card(0, 93))], [], ONE, NOW)
    assert why(nomination)[1] == f"1st in line; gpu-1: GPU 0 is at 93 % (limit: below 80 %), {BY_BOB}"


def test_a_job_for_two_gpus_is_told_what_holds_the_other() -> None:
    node = monitored(card(0), card(1, 93))
    nomination = nominate([make_job(spec_gpus=2)], [node], [], MANY, NOW)
    assert why(nomination) == (
        ReasonCode.RESOURCES_BUSY,
        f"1st in line; gpu-1 has 1 of 2 GPUs free; GPU 1 is at 93 % (limit: below 80 %), {BY_BOB}",
    )
    ours = running(uuids=("GPU-1",))
    nomination = nominate([make_job(spec_gpus=2)], [node], [ours], MANY, NOW)
    assert why(nomination)[1] == "1st in line; gpu-1 has 1 of 2 GPUs free (1 held by running jobs)"
