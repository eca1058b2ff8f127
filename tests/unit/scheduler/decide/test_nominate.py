"""Which jobs start where, and the reasons of the others."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.testbed.fakes import NOW, make_job, make_node
from jobqueue.job import Job
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.resources import GpuProcess, NodeSnapshot, Thresholds
from resource_monitor.decision import decide
from resource_monitor.gate import Gate
from resource_monitor.readings.reading import GpuReading, GpuReport, HostReading, Sample
from scheduler.decide import nominate as decide_nominate
from scheduler.decide.capacity import Ledger, Limits, Node, free_count, known_nodes
from scheduler.decide.nominate import Admission, Nomination, Withdrawal, ordinal
from scheduler.decide.snapshot import CycleSnapshot
from scheduler.engines.contract import WorkflowPhase, WorkflowStatus

ONE = Limits()
MANY = Limits(max_running=10)


def nominate(
    heads: Sequence[Job],
    nodes: Sequence[Node],
    running: Sequence[Job] = (),
    limits: Limits = ONE,
    **more: Any,
) -> Nomination:
    """Nominate from a snapshot of these parts."""
    snapshot = CycleSnapshot(
        now=NOW,
        limits=limits,
        heads=tuple(heads),
        nodes=tuple(nodes),
        running=tuple(running),
        **more,
    )
    return decide_nominate.nominate(snapshot)


def names(nomination: Nomination) -> list[str]:
    return [admission.job.job_id for admission in nomination.admissions]


def why(nomination: Nomination, number: int = 0) -> tuple[str, str]:
    reason = nomination.reasons[number][1]
    return reason.code, reason.message


def running(user: str = "zoe", node: str = "gpu-1", uuids: Sequence[str] = ("GPU-00000000-gpu-1",)):
    return make_job(
        user,
        9,
        Phase.RUNNING,
        node=node,
        gpu_uuids=tuple(uuids),
        started_at=NOW - 720,
        admitted_at=NOW - 730,
    )


def test_the_head_starts_on_a_free_node() -> None:
    nomination = nominate([make_job("a"), make_job("b")], [make_node()], [], ONE)
    [admission] = nomination.admissions
    assert (admission.job.spec.user, admission.node, admission.gpu_uuids) == (
        "a",
        "gpu-1",
        ("GPU-00000000-gpu-1",),
    )
    assert why(nomination) == (
        ReasonCode.SLOTS_FULL,
        f"1st in line; {admission.job.job_id} is starting now",
    )


def test_while_one_job_runs_the_reasons_of_the_others_name_it() -> None:
    nomination = nominate([make_job("a"), make_job("b")], [make_node()], [running()], ONE)
    assert names(nomination) == []
    assert why(nomination, 0) == (
        ReasonCode.SLOTS_FULL,
        "1st in line; zoe_20261124120009 has been running for 12 minutes",
    )
    assert why(nomination, 1)[0] is ReasonCode.WAITING_TURN
    assert why(nomination, 1)[1].startswith("2nd in line; zoe_")


def test_the_reason_has_the_remaining_time_if_it_is_known() -> None:
    job = running()
    nomination = nominate(
        [make_job("a")], [make_node()], [job], ONE, remaining_s={job.job_id: 1200.0}
    )
    assert why(nomination)[1].endswith(
        "has been running for 12 minutes, with about 20 minutes left"
    )


def test_the_reason_has_the_reading_of_a_busy_node() -> None:
    nomination = nominate([make_job()], [make_node(busy=(0,))], [], ONE)
    assert why(nomination) == (
        ReasonCode.RESOURCES_BUSY,
        "1st in line; gpu-1: GPU 0 is at 93 % (limit: below 80 %)",
    )


def test_a_monitor_without_an_answer_is_not_available() -> None:
    nomination = nominate(
        [make_job()], [Node("gpu-1", error="the monitor cannot be reached")], [], ONE
    )
    assert names(nomination) == []
    assert why(nomination) == (
        ReasonCode.MONITOR_UNAVAILABLE,
        "1st in line; gpu-1: the monitor cannot be reached",
    )


def test_no_node_at_all() -> None:
    assert why(nominate([make_job()], [], [], ONE))[0] is ReasonCode.MONITOR_UNAVAILABLE


def test_a_promised_gpu_is_not_free_although_it_is_measured_free() -> None:
    """A job was just admitted: NVML still shows its GPU free, but it is promised."""
    nomination = nominate([make_job()], [make_node()], [running()], MANY)
    assert names(nomination) == []
    assert "0 free GPUs (1 promised to running jobs); the job needs 1" in why(nomination)[1]


def test_the_second_gpu_of_the_node_goes_to_the_second_job() -> None:
    jobs = [make_job("a"), make_job("b"), make_job("c")]
    nomination = nominate(jobs, [make_node(gpus=2)], [], MANY)
    assert [admission.gpu_uuids for admission in nomination.admissions] == [
        ("GPU-00000000-gpu-1",),
        ("GPU-00000001-gpu-1",),
    ]
    assert len(nomination.reasons) == 1


def test_another_node_is_used_if_the_first_is_busy() -> None:
    nomination = nominate([make_job()], [make_node(busy=(0,)), make_node("gpu-2")], [], ONE)
    assert nomination.admissions[0].node == "gpu-2"


def test_several_gpus_must_pass_on_one_node() -> None:
    wants_two = make_job(spec_gpus=2)
    nodes = [make_node("gpu-1", 2, busy=(0,)), make_node("gpu-2", 2)]
    assert nominate([wants_two], nodes, [], ONE).admissions[0].node == "gpu-2"
    assert names(nominate([wants_two], nodes[:1], [], ONE)) == []


def test_a_head_that_does_not_fit_now_is_not_overtaken() -> None:
    heads = [make_job("a", spec_gpus=2), make_job("b")]
    nomination = nominate(heads, [make_node(gpus=2, busy=(0,))], [], MANY)
    assert names(nomination) == []
    assert why(nomination, 1)[0] is ReasonCode.WAITING_TURN


def test_a_job_that_can_never_fit_is_passed_over() -> None:
    heads = [make_job("a", spec_gpus=4), make_job("b")]
    nomination = nominate(heads, [make_node(gpus=2)], [], MANY)
    assert [admission.job.spec.user for admission in nomination.admissions] == ["b"]
    assert why(nomination) == (
        ReasonCode.NEVER_FITS,
        "1st in line; asks for 4 GPUs, but the largest node has 2",
    )


def test_as_long_as_a_node_is_unknown_every_job_may_fit() -> None:
    heads = [make_job("a", spec_gpus=4), make_job("b")]
    nomination = nominate(heads, [make_node(gpus=2), Node("gpu-2", error="away")], [], MANY)
    assert names(nomination) == []


def test_a_user_at_the_limit_is_passed_over() -> None:
    heads = [make_job("zoe", 1), make_job("a")]
    nomination = nominate(heads, [make_node(gpus=2)], [running("zoe")], MANY)
    assert [admission.job.spec.user for admission in nomination.admissions] == ["a"]
    assert why(nomination) == (
        ReasonCode.USER_LIMIT,
        "1st in line; zoe already has 1 job running (limit: 1)",
    )


def test_if_all_heads_are_passed_over_more_are_wanted() -> None:
    heads = [make_job("zoe", 1), make_job("zoe", 2)]
    assert nominate(heads, [make_node(gpus=2)], [running("zoe")], MANY).wants_more
    assert not nominate(heads, [make_node(gpus=2)], [running("zoe")], ONE).wants_more


def test_a_node_in_cooldown_is_skipped() -> None:
    job = make_job()
    pairs = frozenset({(job.job_id, "gpu-1")})
    assert names(nominate([job], [make_node()], [], ONE, cooldowns=pairs)) == []
    assert (
        nominate([job], [make_node(), make_node("gpu-2")], [], ONE, cooldowns=pairs)
        .admissions[0]
        .node
        == "gpu-2"
    )


def test_a_node_without_gpus_is_one_slot_if_no_gpu_is_required() -> None:
    laptop = make_node("laptop", gpus=0)
    limits = Limits(max_running=5, require_gpu=False)
    nomination = nominate([make_job("a"), make_job("b")], [laptop], [], limits)
    assert [admission.gpu_uuids for admission in nomination.admissions] == [()]
    assert (
        names(nominate([make_job("a")], [laptop], [running(node="laptop", uuids=())], limits)) == []
    )


def test_unmanaged_workflows_occupy_slots() -> None:
    unmanaged = WorkflowStatus(
        "w", "u", "gone", 1, WorkflowPhase.RUNNING, "gpu-1", ("GPU-00000000-gpu-1",)
    )
    nomination = nominate([make_job()], [make_node()], [], ONE, unmanaged=[unmanaged])
    assert names(nomination) == []
    assert "unmanaged workflow" in why(nomination)[1]
    [admission] = nominate(
        [make_job()], [make_node(gpus=2)], [], MANY, unmanaged=[unmanaged]
    ).admissions
    assert admission.gpu_uuids == ("GPU-00000001-gpu-1",)


def test_a_broken_template_does_not_delay_other_jobs() -> None:
    heads = [make_job("a", spec_workflow="other"), make_job("b")]
    nomination = nominate(
        heads,
        [make_node()],
        [],
        ONE,
        broken_templates={"other": "The template other cannot be read."},
    )
    assert [admission.job.spec.user for admission in nomination.admissions] == ["b"]
    assert why(nomination) == (
        ReasonCode.TEMPLATE_INVALID,
        "1st in line; The template other cannot be read.",
    )


def test_only_the_first_hundred_jobs_get_a_reason() -> None:
    heads = [make_job(f"u{number}") for number in range(150)]
    assert len(nominate(heads, [], [], ONE).reasons) == 100


@pytest.mark.parametrize(
    ("number", "word"),
    [
        *((1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (10, "10th"), (11, "11th")),
        *((12, "12th"), (13, "13th"), (14, "14th"), (21, "21st"), (22, "22nd"), (23, "23rd")),
        *((100, "100th"), (101, "101st"), (111, "111th"), (112, "112th"), (113, "113th")),
    ],
)
def test_ordinal(number: int, word: str) -> None:
    assert ordinal(number) == word


def test_reasons_name_the_position_and_the_cause() -> None:
    """Each head that waits gets its own position, and everybody behind the first one its cause."""
    heads = [make_job("a", spec_gpus=2), make_job("b"), make_job("c")]
    nomination = nominate(heads, [make_node(gpus=2, busy=(0,))], [], MANY)
    cause = "gpu-1 has 1 free GPU; the job needs 2"
    assert [reason.message.partition("; ")[0] for _, reason in nomination.reasons] == [
        "1st in line",
        "2nd in line",
        "3rd in line",
    ]
    assert all(cause in reason.message for _, reason in nomination.reasons)


#: Queues of small jobs before nodes that are mostly free: two and more of them can start at once.
WISHES = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from([1, 1, 1, 1, 2, 3])),
    min_size=5,
    max_size=10,
)
SHAPES = st.lists(
    st.tuples(
        st.sampled_from([4, 3, 2, 1]),
        st.one_of(st.just(set()), st.sets(st.integers(0, 3), max_size=2)),
        st.sampled_from([True, True, True, False]),
    ),
    min_size=2,
    max_size=4,
)


def test_a_gpu_is_promised_once_and_no_limit_is_exceeded() -> None:
    """Several jobs start in at least a third of the examples; else this would test nothing."""
    counts = []

    @given(WISHES, SHAPES, st.sampled_from([6, 5, 4, 3, 1]), st.sampled_from([3, 2, 2, 1]))
    def check(
        wishes: list[tuple[str, int]],
        shapes: list[tuple[int, set[int], bool]],
        max_running: int,
        per_user: int,
    ) -> None:
        heads = [make_job(user, n, spec_gpus=gpus) for n, (user, gpus) in enumerate(wishes)]
        nodes = [make_node(f"n{i}", *shape_of(each)) for i, each in enumerate(shapes)]
        nomination = nominate(heads, nodes, [], Limits(max_running, per_user))
        check_promises(nomination, nodes)
        users = Counter(admission.job.spec.user for admission in nomination.admissions)
        assert sum(users.values()) <= max_running
        assert all(count <= per_user for count in users.values())
        assert len(nomination.admissions) + len(nomination.reasons) == len(heads)
        positions = [reason.message.partition(" ")[0] for _, reason in nomination.reasons]
        assert positions == [ordinal(n + 1) for n in range(len(positions))]
        counts.append(len(nomination.admissions))

    check()
    assert sum(count >= 2 for count in counts) >= len(counts) / 3


def shape_of(drawn: tuple[int, set[int], bool]) -> tuple[int, bool, tuple[int, ...]]:
    gpus, busy, is_available = drawn
    return gpus, is_available, tuple(busy)


def check_promises(nomination: Nomination, nodes: list[Node]) -> None:
    """Every promised GPU is free and promised once, and each job gets as many as it asks for."""
    free = {
        gpu.uuid
        for node in nodes
        if node.snapshot and node.snapshot.available
        for gpu in node.snapshot.gpus
        if gpu.available
    }
    uuids = [uuid for admission in nomination.admissions for uuid in admission.gpu_uuids]
    assert len(uuids) == len(set(uuids))
    assert set(uuids) <= free
    assert all(len(each.gpu_uuids) == each.job.spec.gpus for each in nomination.admissions)


BY_BOB = "used by pid 4242 of bob (22,100 MB)"


def monitored(*gpus: GpuReading) -> Node:
    """A node as its monitor describes it, over the wire."""
    host = HostReading(10.0, (0.1, 0.1, 0.1), 1000, 8000, 12.5)
    samples = [Sample(at, 0.5, host, GpuReport(gpus)) for at in (9.0, 9.5, 10.0)]
    snapshot = decide(samples, Gate(Thresholds()), node="gpu-1", now=10.0)
    return Node("gpu-1", NodeSnapshot.decode(json.dumps(snapshot.encode())))


def card(index: int, utilization: int = 3) -> GpuReading:
    bob = (GpuProcess(4242, 22_100, "bob"),)
    return GpuReading(
        index,
        f"GPU-{index}",
        "H100",
        100,
        24_000,
        23_900,
        utilization,
        processes=bob,
        process_count=1,
    )


def test_the_reason_names_the_process_outside_the_queue() -> None:
    nomination = nominate([make_job()], [monitored(card(0, 93))], [], ONE)
    assert (
        why(nomination)[1] == f"1st in line; gpu-1: GPU 0 is at 93 % (limit: below 80 %), {BY_BOB}"
    )


def test_the_reason_of_a_job_for_two_gpus_names_what_uses_the_other_one() -> None:
    node = monitored(card(0), card(1, 93))
    nomination = nominate([make_job(spec_gpus=2)], [node], [], MANY)
    assert why(nomination) == (
        ReasonCode.RESOURCES_BUSY,
        "1st in line; gpu-1 has 1 free GPU; the job needs 2; GPU 1 is at 93 % "
        f"(limit: below 80 %), {BY_BOB}",
    )
    ours = running(uuids=("GPU-1",))
    nomination = nominate([make_job(spec_gpus=2)], [node], [ours], MANY)
    assert (
        why(nomination)[1]
        == "1st in line; gpu-1 has 1 free GPU (1 promised to running jobs); the job needs 2"
    )


# -- engines that count GPUs ---------------------------------------------------------------------

COUNTED = Limits(max_running=20, max_per_user=20, pins_gpus=False)


def at_work(number: int, phase: Phase, node: str = "gpu-1", gpus: int = 1, **fields: object):
    """Return a job that holds a slot on a node; its engine does not report which GPU it has."""
    return make_job("zoe", number, phase, node=node, spec_gpus=gpus, admitted_at=NOW, **fields)


def test_counted_gpus_have_no_name() -> None:
    [admission] = nominate([make_job()], [make_node(gpus=2)], [], COUNTED).admissions
    assert (admission.node, admission.gpu_uuids) == ("gpu-1", ())


@pytest.mark.parametrize(
    ("phase", "busy", "fits"),
    [
        (Phase.ADMITTED, (), True),  # it will take one of the two that pass
        (Phase.ADMITTED, (1,), False),  # it will take the one that passes
        (Phase.RUNNING, (), True),  # it runs, and is idle just now
        (Phase.RUNNING, (0,), True),  # the busy one is its own
    ],
)
def test_whether_a_job_fits_beside_one_that_has_an_unknown_gpu_of_two(
    phase: Phase, busy: tuple[int, ...], fits: bool
) -> None:
    nomination = nominate(
        [make_job()], [make_node(gpus=2, busy=busy)], [at_work(9, phase)], COUNTED
    )
    assert bool(nomination.admissions) is fits


def test_a_node_full_of_our_jobs_is_reported_as_promised_and_not_as_busy() -> None:
    ours = [at_work(8, Phase.RUNNING), at_work(9, Phase.RUNNING)]
    nomination = nominate([make_job()], [make_node(gpus=2, busy=(0, 1))], ours, COUNTED)
    assert (
        why(nomination)[1]
        == "1st in line; gpu-1 has 0 free GPUs (2 promised to running jobs); the job needs 1"
    )


def test_load_that_our_jobs_do_not_explain_is_named() -> None:
    node = monitored(card(0, 93), card(1, 94), card(2))
    wants_two = make_job(spec_gpus=2)
    nomination = nominate([wants_two], [node], [at_work(9, Phase.RUNNING)], COUNTED)
    assert why(nomination)[1].startswith(
        "1st in line; gpu-1 has 1 free GPU (1 promised to running jobs); "
        "the job needs 2; GPU 0 is at"
    )
    nomination = nominate([wants_two], [node], [at_work(9, Phase.RUNNING, gpus=2)], COUNTED)
    assert (
        why(nomination)[1]
        == "1st in line; gpu-1 has 1 free GPU (2 promised to running jobs); the job needs 2"
    )


def test_an_unmanaged_workflow_occupies_as_many_gpus_as_it_was_submitted_with() -> None:
    unmanaged = WorkflowStatus(
        "w", "u", "gone", 1, WorkflowPhase.RUNNING, "gpu-1", submission={"gpus": "2"}
    )
    assert (
        names(nominate([make_job()], [make_node(gpus=2)], [], COUNTED, unmanaged=[unmanaged])) == []
    )
    assert (
        len(names(nominate([make_job()], [make_node(gpus=3)], [], COUNTED, unmanaged=[unmanaged])))
        == 1
    )


@pytest.mark.parametrize("limits", [COUNTED, MANY])
def test_the_node_with_the_fewest_gpus_left_free_is_used(limits: Limits) -> None:
    nodes = [make_node("gpu-1", 4), make_node("gpu-2", 2), make_node("gpu-3", 2)]
    jobs = [make_job("a"), make_job("b", spec_gpus=4), make_job("c"), make_job("d", spec_gpus=2)]
    nomination = nominate(jobs, nodes, [], limits)
    assert [admission.node for admission in nomination.admissions] == [
        "gpu-2",
        "gpu-1",
        "gpu-2",
        "gpu-3",
    ]


def test_a_node_without_gpus_is_one_slot_for_a_counting_engine_too() -> None:
    limits = Limits(max_running=5, require_gpu=False, pins_gpus=False)
    nodes = [make_node("cpu-1", gpus=0), make_node("cpu-2", gpus=0)]
    nomination = nominate([make_job("a"), make_job("b"), make_job("c")], nodes, [], limits)
    assert [admission.node for admission in nomination.admissions] == ["cpu-1", "cpu-2"]


class TestShort:
    """An admitted job whose node has no free GPU."""

    def test_it_is_withdrawn_if_another_node_is_free(self) -> None:
        short = at_work(9, Phase.ADMITTED, "gpu-1")
        nodes = [make_node("gpu-1"), make_node("gpu-2")]
        nomination = nominate([], nodes, [short], COUNTED, unschedulable=frozenset({short.job_id}))
        assert nomination.withdrawals == (Withdrawal(short, "gpu-2"),)

    def test_it_stays_if_no_other_node_is_free(self) -> None:
        short = at_work(9, Phase.ADMITTED, "gpu-1")
        nodes = [make_node("gpu-1", 2), make_node("gpu-2", busy=(0,))]
        assert (
            nominate(
                [], nodes, [short], COUNTED, unschedulable=frozenset({short.job_id})
            ).withdrawals
            == ()
        )

    def test_no_queued_job_gets_the_gpus_that_it_moves_to(self) -> None:
        short = at_work(9, Phase.ADMITTED, "gpu-1")
        nodes = [make_node("gpu-1", busy=(0,)), make_node("gpu-2")]
        underway = at_work(9, Phase.ADMITTED, "gpu-1", withdrawn_uid="uid")
        for job, few in ((short, frozenset({short.job_id})), (underway, frozenset())):
            nomination = nominate([make_job()], nodes, [job], COUNTED, unschedulable=few)
            assert names(nomination) == []
        assert nomination.withdrawals == ()  # it is underway

    def test_two_such_jobs_do_not_share_one_gpu(self) -> None:
        both = [at_work(8, Phase.ADMITTED, "gpu-1"), at_work(9, Phase.ADMITTED, "gpu-1")]
        nodes = [make_node("gpu-1", 2), make_node("gpu-2")]
        nomination = nominate(
            [], nodes, both, COUNTED, unschedulable=frozenset(job.job_id for job in both)
        )
        assert [withdrawal.job for withdrawal in nomination.withdrawals] == both[:1]

    @pytest.mark.parametrize("fields", [{"phase": Phase.RUNNING}, {"cancel_requested_at": NOW}])
    def test_a_job_that_runs_or_is_being_cancelled_stays(self, fields: dict[str, object]) -> None:
        job = replace(at_work(9, Phase.ADMITTED, "gpu-1"), **fields)
        nodes = [make_node("gpu-1"), make_node("gpu-2")]
        assert (
            nominate([], nodes, [job], COUNTED, unschedulable=frozenset({job.job_id})).withdrawals
            == ()
        )


#: What holds GPUs already: a job's phase, the number of its node, its GPUs.
HOLDER = st.tuples(
    st.sampled_from([Phase.ADMITTED, Phase.RUNNING]), st.integers(0, 2), st.sampled_from([1, 1, 2])
)
#: Which GPUs of a node are busy: mostly none.
FEW = st.one_of(st.just(set()), st.just(set()), st.sets(st.integers(0, 3), max_size=2))
FREE = st.integers(0, 2)
ASKED = st.lists(st.sampled_from([1, 1, 2, 3]), min_size=2, max_size=8)
NODES = st.lists(st.tuples(st.sampled_from([4, 4, 3, 2, 1]), FEW), min_size=2, max_size=3)


def promised_to(node: str, jobs: Sequence[Job]) -> int:
    return sum(job.spec.gpus for job in jobs if job.node == node)


def check_count(nomination: Nomination, running: Sequence[Job], node: Node) -> None:
    """Check that the node has all GPUs that are promised on it, if any are promised now."""
    assert node.snapshot is not None
    given = sum(each.job.spec.gpus for each in nomination.admissions if each.node == node.name)
    given += sum(each.job.spec.gpus for each in nomination.withdrawals if each.node == node.name)
    if given:
        starting = [job for job in running if job.phase is Phase.ADMITTED]
        free = sum(gpu.available for gpu in node.snapshot.gpus)
        assert promised_to(node.name, running) + given <= len(node.snapshot.gpus)
        assert promised_to(node.name, starting) + given <= free


def test_no_more_gpus_are_promised_on_a_node_than_it_has() -> None:
    """GPUs are promised beside running jobs in at least a third of the examples."""
    counts = []

    @given(ASKED, st.lists(HOLDER, min_size=1, max_size=4), NODES, st.booleans())
    def check(
        wishes: list[int],
        holders: list[tuple[Phase, int, int]],
        shapes: list[tuple[int, set[int]]],
        is_short: bool,
    ) -> None:
        heads = [make_job("a", number, spec_gpus=gpus) for number, gpus in enumerate(wishes)]
        nodes = [make_node(f"n{i}", n, busy=tuple(busy)) for i, (n, busy) in enumerate(shapes)]
        running = [
            at_work(number, phase, f"n{i}", gpus) for number, (phase, i, gpus) in enumerate(holders)
        ]
        short = frozenset(job.job_id for job in running if is_short)
        nomination = nominate(heads, nodes, running, COUNTED, unschedulable=short)
        for node in nodes:
            check_count(nomination, running, node)
        decisions = len(nomination.admissions) + len(nomination.withdrawals)
        counts.append(bool(running) and decisions > 0)

    check()
    assert sum(counts) >= len(counts) / 3


def test_a_busier_measurement_never_frees_gpus() -> None:
    """It takes a GPU away in at least a third of the examples."""
    counts = []

    @given(st.lists(HOLDER, max_size=2), st.integers(3, 4), FEW, st.sets(FREE, min_size=1))
    def check(
        holders: list[tuple[Phase, int, int]], gpus: int, busy: set[int], more: set[int]
    ) -> None:
        ledger = Ledger()
        for number, (phase, i, asked) in enumerate(holders):
            ledger.book(at_work(number, phase, f"n{i}", asked), f"n{i}", ())
        before = make_node("n0", gpus, busy=tuple(busy)).snapshot
        after = make_node("n0", gpus, busy=tuple(busy | more)).snapshot
        assert before is not None
        assert after is not None
        free = [free_count(each, ledger, COUNTED) for each in (before, after)]
        assert free[1] <= free[0] <= free_count(before, Ledger(), COUNTED)
        counts.append(free[1] < free[0])

    check()
    assert sum(counts) >= len(counts) / 3


# -- which nodes there are -----------------------------------------------------------------------


def test_a_node_declared_dead_gets_no_job_and_its_error_names_the_command_that_ends_it() -> None:
    nodes = known_nodes([make_node("gpu-1"), make_node("gpu-2")], {"gpu-1": NOW}, [], {})
    [admission] = nominate([make_job()], nodes, [], MANY).admissions
    assert admission.node == "gpu-2"
    nomination = nominate([make_job()], nodes[:1], [], MANY)
    undo = "if it is back, run: gpuq admin node alive gpu-1"
    words = f"gpu-1: declared dead at 2026-11-18T11:06:40.000Z; {undo}"
    assert why(nomination) == (ReasonCode.MONITOR_UNAVAILABLE, f"1st in line; {words}")


def test_a_node_of_our_jobs_without_a_monitor_is_listed() -> None:
    nodes = known_nodes([make_node("gpu-1", 2)], {}, ["gpu-2", "gpu-1", ""], {})
    assert [(node.name, node.error) for node in nodes] == [
        ("gpu-1", ""),
        ("gpu-2", "no monitor answers for it"),
    ]
    assert (
        why(nominate([make_job(spec_gpus=4)], nodes, [], MANY))[0] is ReasonCode.RESOURCES_BUSY
    )  # may yet fit


def test_a_node_declared_dead_does_not_count_for_what_fits() -> None:
    nodes = known_nodes([make_node("gpu-1", 2)], {"gpu-9": NOW}, [], {})
    nomination = nominate([make_job(spec_gpus=4), make_job(1)], nodes, [], MANY)
    assert why(nomination)[0] is ReasonCode.NEVER_FITS
    assert [admission.node for admission in nomination.admissions] == ["gpu-1"]


def test_a_node_that_accepts_no_pod_gets_no_job() -> None:
    said = "gpu-1 is cordoned; to let it accept pods again: kubectl uncordon gpu-1"
    nodes = known_nodes([make_node("gpu-1"), make_node("gpu-2")], {}, [], {"gpu-1": said})
    [admission] = nominate([make_job()], nodes, [], MANY).admissions
    assert admission.node == "gpu-2"
    nomination = nominate([make_job()], nodes[:1], [], MANY)
    assert why(nomination) == (
        ReasonCode.RESOURCES_BUSY,
        f"1st in line; gpu-1 is not accepting jobs: {said}",
    )


# -- whole nominations -------------------------------------------------------------------------


class TestWholeNominations:
    def test_a_halted_scheduler_gives_its_reason_to_the_first_hundred(self) -> None:
        heads = [make_job(f"u{number}") for number in range(101)]
        nomination = nominate(heads, [make_node()], [], MANY, halted="Redis has lost jobs.")
        reason = Reason(ReasonCode.HALTED, "Redis has lost jobs.")
        assert nomination == Nomination(reasons=tuple((job, reason) for job in heads[:100]))

    def test_a_job_that_starts_is_the_only_decision(self) -> None:
        job = make_job()
        admission = Admission(job, "gpu-1", ("GPU-00000000-gpu-1",))
        assert nominate([job], [make_node(gpus=2)], [], ONE) == Nomination((admission,))
        more = nominate([job], [make_node(gpus=2)], [], MANY)
        assert more == Nomination((admission,), wants_more=True)
        assert Nomination() == Nomination((), (), (), wants_more=False)
        assert Nomination().wants_more is False
        assert Admission(job, "gpu-1").gpu_uuids == ()

    def test_a_job_in_backoff_is_passed_over_with_its_reason(self) -> None:
        first, second = make_job("a"), make_job("b")
        why_not = Reason(ReasonCode.CREATE_FAILED, "The engine refused.", "a line")
        backoffs = {first.job_id: why_not}
        nomination = nominate([first, second], [make_node()], [], ONE, backoffs=backoffs)
        told = replace(why_not, message="1st in line; The engine refused.")
        assert nomination.reasons == ((first, told),)
        assert names(nomination) == [second.job_id]

    def test_behind_a_job_that_waits_everybody_waits_for_the_same(self) -> None:
        heads = [make_job("a", spec_gpus=2), make_job("b")]
        nomination = nominate(heads, [make_node(gpus=2, busy=(0,))], [], MANY)
        text = "gpu-1 has 1 free GPU; the job needs 2"
        assert [reason for _, reason in nomination.reasons] == [
            Reason(ReasonCode.RESOURCES_BUSY, f"1st in line; {text}"),
            Reason(ReasonCode.WAITING_TURN, f"2nd in line; {text}"),
        ]
        assert not nomination.wants_more

    def test_if_all_slots_are_taken_the_longest_admitted_job_is_named(self) -> None:
        limits = Limits(max_running=2)
        nomination = nominate(
            [make_job("a"), make_job("b")], [make_node(gpus=4)], [running()], limits
        )
        cause = "zoe_20261124120009 has been running for 12 minutes; 1 more job runs"
        assert names(nomination) == [make_job("a").job_id]
        assert why(nomination) == (ReasonCode.SLOTS_FULL, f"1st in line; {cause}")

    def test_a_user_may_run_as_many_as_allowed(self) -> None:
        limits = Limits(max_running=9, max_per_user=2)
        heads = [make_job("zoe", number) for number in (1, 2, 3)]
        nomination = nominate(heads, [make_node(gpus=4)], [running("zoe")], limits)
        assert names(nomination) == [heads[0].job_id]
        text = "zoe already has 2 jobs running (limit: 2)"
        assert why(nomination) == (ReasonCode.USER_LIMIT, f"1st in line; {text}")

    @pytest.mark.parametrize(
        ("nodes", "limits", "never"),
        [
            ([make_node(gpus=1)], MANY, True),
            ([make_node(gpus=1), make_node("gpu-2", 1)], MANY, True),
            ([make_node(gpus=1), make_node("gpu-2", 2, busy=(0,))], MANY, False),
            ([make_node(gpus=1), Node("gpu-2", error="?")], MANY, False),
            ([make_node(gpus=1), Node("gpu-2", error="?", is_dead=True)], MANY, True),
            ([Node("gpu-2", error="?", is_dead=True)], MANY, False),
            ([make_node(gpus=0)], MANY, False),
            ([make_node(gpus=1)], replace(MANY, require_gpu=False), False),
        ],
    )
    def test_two_gpus_never_fit_if_every_living_node_is_known_to_have_fewer(
        self, nodes: list[Node], limits: Limits, never: bool
    ) -> None:
        code, _ = why(nominate([make_job(spec_gpus=2)], nodes, [], limits))
        assert (code is ReasonCode.NEVER_FITS) is never

    def test_of_two_equal_nodes_the_first_by_name_is_taken(self) -> None:
        nodes = [make_node("gpu-2"), make_node("gpu-1"), make_node("gpu-3")]
        assert nominate([make_job()], nodes, [], ONE).admissions[0].node == "gpu-1"

    def test_a_job_gets_the_first_free_gpus_and_no_more(self) -> None:
        [admission] = nominate([make_job(spec_gpus=2)], [make_node(gpus=3)], [], ONE).admissions
        assert admission.gpu_uuids == ("GPU-00000000-gpu-1", "GPU-00000001-gpu-1")

    def test_an_unavailable_node_takes_no_job_even_without_gpus(self) -> None:
        limits = replace(MANY, require_gpu=False)
        cpu = make_node("cpu-1", gpus=0, available=False)
        assert names(nominate([make_job()], [cpu], [], limits)) == []

    def test_without_gpus_to_pin_a_node_is_not_taken_for_a_gpu_job(self) -> None:
        assert names(nominate([make_job()], [make_node(gpus=0)], [], MANY)) == []


class TestWithdrawals:
    """Every admitted job that its node cannot run is considered, the longest admitted first."""

    PINNED = Limits(max_running=20, max_per_user=20)

    def stuck(self, number: int, node: str = "gpu-1", gpus: int = 1, **fields: Any) -> Job:
        return make_job("zoe", number, Phase.ADMITTED, node=node, spec_gpus=gpus, **fields)

    def withdrawn(self, jobs: list[Job], nodes: list[Node], limits: Limits) -> Nomination:
        ids = frozenset(job.job_id for job in jobs if job.node == "gpu-1")
        return nominate([make_job()], nodes, jobs, limits, unschedulable=ids)

    def test_jobs_that_can_stay_or_must_stay_do_not_end_the_search(self) -> None:
        runs = replace(self.stuck(1), phase=Phase.RUNNING)
        large, small = self.stuck(2, gpus=2), self.stuck(3)
        nodes = [make_node("gpu-1", 4), make_node("gpu-2", 1)]
        nomination = self.withdrawn([runs, large, small], nodes, COUNTED)
        assert nomination.withdrawals == (Withdrawal(small, "gpu-2"),)

    def test_pinned_gpus_are_promised_to_it_there(self) -> None:
        job = self.stuck(1, gpus=2)
        nodes = [make_node("gpu-2", 2)]
        nomination = self.withdrawn([job], nodes, self.PINNED)
        assert nomination.withdrawals == (Withdrawal(job, "gpu-2"),)
        assert names(nomination) == []

    def test_only_as_many_gpus_are_promised_as_it_asks_for(self) -> None:
        nodes = [make_node("gpu-2", 2)]
        nomination = self.withdrawn([self.stuck(1)], nodes, self.PINNED)
        assert [each.gpu_uuids for each in nomination.admissions] == [("GPU-00000001-gpu-2",)]
        counted = self.withdrawn([self.stuck(1)], nodes, COUNTED)
        assert [each.node for each in counted.admissions] == ["gpu-2"]

    def test_one_that_is_to_be_cancelled_keeps_its_promise_and_is_not_withdrawn(self) -> None:
        job = self.stuck(1, cancel_requested_at=NOW)
        nomination = self.withdrawn([job], [make_node("gpu-2")], COUNTED)
        assert (nomination.withdrawals, names(nomination)) == ((), [])

    def test_it_is_not_withdrawn_to_the_node_that_it_is_on(self) -> None:
        job = self.stuck(1)
        assert self.withdrawn([job], [make_node("gpu-1", 4)], self.PINNED).withdrawals == ()


def test_the_parts_of_a_snapshot_that_are_not_given_are_empty() -> None:
    snapshot = CycleSnapshot(NOW, ONE)
    assert (snapshot.nodes, snapshot.running, snapshot.heads, snapshot.unmanaged) == ((),) * 4
    assert (snapshot.unschedulable, snapshot.cooldowns) == (frozenset(), frozenset())
    assert (snapshot.backoffs, snapshot.broken_templates, snapshot.remaining_s) == ({}, {}, {})
    assert snapshot.halted == ""
