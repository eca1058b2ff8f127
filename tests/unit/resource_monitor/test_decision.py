"""The gate is exact at its boundaries, total and monotone, and it fails closed."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobqueue.resources import GpuProcess, NodeReason, NodeReasonCode, NodeSnapshot, Thresholds
from resource_monitor.decision import decide
from resource_monitor.gate import Gate
from resource_monitor.readings.reading import Fault, GpuReading, GpuReport, HostReading, Sample

NOW = 1000.0
PERIOD_S = 0.5
HOST = HostReading(45.0, (2.1, 1.9, 1.7), 12288, 32768, 37.5)
GPU = GpuReading(0, "GPU-a", "NVIDIA H100", 2048, 10240, 8192, 75, 280.5, 71, 1)
OTHER = replace(GPU, index=1, uuid="GPU-b")
NO_GPU = Fault(NodeReasonCode.NO_GPU, "There is no NVIDIA GPU on this node.")


def sample(
    age_s: float, *gpus: GpuReading, host: HostReading = HOST, faults: tuple[Fault, ...] = ()
) -> Sample:
    return Sample(NOW - age_s, PERIOD_S, host, GpuReport(gpus, faults))


def steady(
    *gpus: GpuReading, host: HostReading = HOST, faults: tuple[Fault, ...] = ()
) -> list[Sample]:
    """Ten seconds of the same readings."""
    return [sample(i * PERIOD_S, *gpus, host=host, faults=faults) for i in reversed(range(20))]


def judged(
    samples: Sequence[Sample],
    limits: Thresholds | None = None,
    require_gpu: bool = True,
    **options: Any,
) -> NodeSnapshot:
    gate = Gate(limits or Thresholds(), require_gpu)
    return decide(samples, gate, node="gpu-1", now=NOW, **options)


def codes(snapshot: NodeSnapshot) -> list[str]:
    return [reason.code for reason in snapshot.reasons]


def test_an_idle_node_is_available_without_a_reason() -> None:
    snapshot = judged(steady(GPU))
    assert snapshot.available
    assert snapshot.reasons == ()
    assert snapshot.gpus[0].available
    assert snapshot.age_s == 0


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"memory_free_mb": 200}, False),
        ({"memory_free_mb": 200.1}, True),
        ({"memory_free_mb": 201}, True),
        ({"utilization_percent": 80}, False),
        ({"utilization_percent": 79.9}, True),
    ],
)
def test_a_gpus_boundaries_are_strict(change: dict[str, float], passes: bool) -> None:
    assert judged(steady(replace(GPU, **change))).available is passes


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"cpu_percent": 90.0}, False),
        ({"cpu_percent": 89.9}, True),
        ({"memory_percent": 85.0}, False),
        ({"memory_percent": 84.9}, True),
    ],
)
def test_the_hosts_boundaries_are_strict(change: dict[str, float], passes: bool) -> None:
    assert judged(steady(GPU, host=replace(HOST, **change))).available is passes


BOB = GpuProcess(4242, 22_100, "bob")


@pytest.mark.parametrize(
    ("processes", "count", "by"),
    [
        ((BOB,), 1, ", used by pid 4242 of bob (22,100 MB)"),
        ((BOB, GpuProcess(7, 10, None)), 2, ", used by pid 4242 of bob (22,100 MB) and 1 more"),
        ((replace(BOB, user=None),), 1, ", used by pid 4242 (22,100 MB)"),
        ((replace(BOB, pid=None, user=None),), 1, ", used by a process (22,100 MB)"),
        ((replace(BOB, used_memory_mb=None),), 40, ", used by pid 4242 of bob and 39 more"),
        (
            (replace(BOB, user="b\nob\u202e" + "x" * 100),),
            1,
            f", used by pid 4242 of b ob {'x' * 35} (22,100 MB)",
        ),
        ((), 0, ""),
        (None, None, ""),
    ],
)
def test_the_reason_for_a_busy_gpu_names_its_processes(
    processes: Any, count: int | None, by: str
) -> None:
    snapshot = judged(
        steady(replace(GPU, utilization_percent=93, processes=processes, process_count=count))
    )
    assert [reason.message for reason in snapshot.reasons] == [
        f"GPU 0 is at 93 % (limit: below 80 %){by}."
    ]
    assert NodeSnapshot.decode(json.dumps(snapshot.encode())) == snapshot


def test_the_processes_of_a_full_gpu_are_named_once() -> None:
    full = replace(GPU, memory_free_mb=150, processes=(BOB,))
    [reason] = judged(steady(full)).reasons
    assert (
        reason.message
        == "GPU 0 has 150 MB free (limit: above 200 MB), used by pid 4242 of bob (22,100 MB)."
    )
    first, second = judged(steady(replace(full, utilization_percent=93))).reasons
    assert ("bob" in first.message, "bob" in second.message) == (True, False)


def test_a_threshold_of_zero_percent_is_never_met() -> None:
    snapshot = judged(steady(GPU, host=replace(HOST, cpu_percent=0.0)), Thresholds(cpu_percent=0))
    assert not snapshot.available
    assert codes(snapshot) == ["cpu_busy"]


def test_a_reason_has_the_gpu_the_value_and_the_limit() -> None:
    (reason,) = judged(steady(replace(GPU, utilization_percent=93))).reasons
    assert (reason.code, reason.gpu, reason.value, reason.threshold, reason.unit) == (
        "gpu_busy",
        0,
        93,
        80,
        "percent",
    )
    assert reason.message == "GPU 0 is at 93 % (limit: below 80 %)."


def test_a_reason_from_earlier_in_the_window_has_its_age() -> None:
    samples = steady(GPU)
    samples[-9] = sample(4.0, replace(GPU, utilization_percent=93, memory_free_mb=150))
    busy, short = judged(samples).reasons
    assert busy.message == "GPU 0 was at 93 % 4 s ago (limit: below 80 %)."
    assert short.message == "GPU 0 had 150 MB free 4 s ago (limit: above 200 MB)."


def test_a_shorter_window_ignores_older_samples() -> None:
    samples = steady(GPU)
    samples[-9] = sample(
        4.0, replace(GPU, utilization_percent=93), host=replace(HOST, cpu_percent=99.0)
    )
    assert not judged(samples, window_s=4.0).available
    assert judged(samples, window_s=3.9).available


def test_the_two_newest_samples_always_count() -> None:
    samples = [sample(0.9, replace(GPU, utilization_percent=93)), sample(0.4, GPU)]
    assert codes(judged(samples, window_s=0.001)) == ["gpu_busy"]


def test_the_snapshot_shows_the_newest_reading_and_not_the_worst() -> None:
    samples = [
        sample(0.5, replace(GPU, utilization_percent=93)),
        sample(0, replace(GPU, utilization_percent=7)),
    ]
    assert judged(samples).gpus[0].utilization_percent == 7


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_samples_are_not_judged(count: int) -> None:
    snapshot = judged(steady(GPU)[20 - count :])
    assert codes(snapshot) == ["starting"]
    assert not any(gpu.available for gpu in snapshot.gpus)


def test_three_periods_are_fresh_and_more_are_stale() -> None:
    samples = [sample(2.0, GPU), sample(1.5, GPU)]
    assert judged(samples).available
    snapshot = decide(
        samples,
        Gate(Thresholds()),
        node="n",
        now=NOW + 0.01,
        problem="the sampler process was silent for 15 s",
    )
    assert codes(snapshot) == ["stale"]
    assert not snapshot.gpus[0].available
    assert (
        snapshot.reasons[0].message
        == "The last reading is 1.5 s old (limit: 1.5 s): the sampler process was silent for 15 s."
    )


def test_a_slow_driver_extends_how_long_a_reading_is_fresh_up_to_a_limit() -> None:
    slow = [replace(sample(age_s, GPU), period_s=60.0) for age_s in (15.1, 14.9)]
    assert judged(slow, window_s=10).available
    assert codes(decide(slow, Gate(Thresholds()), node="n", now=NOW + 0.2)) == ["stale"]


def test_a_broken_gpu_does_not_hide_the_other_one() -> None:
    broken = replace(
        GPU, utilization_percent=None, memory_free_mb=None, fault="GPU is lost", lost=True
    )
    snapshot = judged(steady(broken, OTHER))
    assert snapshot.available
    assert [gpu.available for gpu in snapshot.gpus] == [False, True]
    assert codes(snapshot) == ["gpu_lost"]
    assert snapshot.reasons[0].message == "GPU 0 is lost: GPU is lost."


def test_a_gpu_missing_from_the_newest_sample_is_lost_and_still_shown() -> None:
    snapshot = judged([sample(1.0, GPU, OTHER), sample(0.5, GPU, OTHER), sample(0, OTHER)])
    assert snapshot.available
    assert codes(snapshot) == ["gpu_lost"]
    assert [(gpu.uuid, gpu.available, gpu.utilization_percent) for gpu in snapshot.gpus] == [
        ("GPU-a", False, None),
        ("GPU-b", True, 75),
    ]


def test_gpus_are_identified_by_uuid_when_indices_change() -> None:
    busy = replace(GPU, utilization_percent=99)
    before, after = (
        sample(0.5, busy, OTHER),
        sample(0, replace(OTHER, index=0), replace(GPU, index=1)),
    )
    snapshot = judged([before, after])
    assert [(gpu.uuid, gpu.available) for gpu in snapshot.gpus] == [
        ("GPU-b", True),
        ("GPU-a", False),
    ]


def test_a_gpu_that_came_back_is_not_judged_before_the_window_is_complete() -> None:
    assert codes(judged([sample(1, GPU), sample(0.5), sample(0, GPU)])) == ["gpu_unknown"]
    assert judged(
        [sample(9, GPU), sample(8.5), sample(0.5, GPU), sample(0, GPU)], window_s=2
    ).available


def test_two_gpus_with_the_same_uuid_are_unknown() -> None:
    twice = judged(steady(GPU, replace(OTHER, uuid=GPU.uuid)))
    assert codes(twice) == ["gpu_unknown"]
    assert not twice.available


def test_no_gpu_is_a_reason_only_if_one_is_required() -> None:
    assert codes(judged(steady(faults=(NO_GPU,)))) == ["no_gpu"]
    assert codes(judged(steady())) == ["no_gpu"]
    assert judged(steady(faults=(NO_GPU,)), require_gpu=False).available
    busy = judged(steady(faults=(NO_GPU,), host=replace(HOST, cpu_percent=95.0)), require_gpu=False)
    assert codes(busy) == ["cpu_busy"]


def test_existing_gpus_must_pass_even_if_none_is_required() -> None:
    assert not judged(steady(replace(GPU, utilization_percent=99)), require_gpu=False).available
    unreadable = Fault(NodeReasonCode.GPU_UNKNOWN, "The GPUs cannot be read: Timeout.")
    assert codes(judged(steady(faults=(unreadable,)), require_gpu=False)) == ["gpu_unknown"]
    assert not judged([sample(0.5, GPU), sample(0, faults=(NO_GPU,))], require_gpu=False).available


def test_a_fault_beside_working_gpus_is_reported_and_does_not_block() -> None:
    snapshot = judged(
        steady(GPU, faults=(Fault(NodeReasonCode.GPU_LOST, "GPU 1 cannot be read: GPU is lost."),))
    )
    assert snapshot.available
    assert codes(snapshot) == ["gpu_lost"]


@pytest.mark.parametrize(
    ("limit", "gpu", "host"),
    [
        ("gpu_utilization_percent", {"utilization_percent": None}, {}),
        ("gpu_memory_free_mb", {"memory_free_mb": None}, {}),
        ("cpu_percent", {}, {"cpu_percent": None}),
        ("memory_percent", {}, {"memory_percent": 99.0}),
    ],
)
def test_a_threshold_that_is_off_is_not_judged(
    limit: str, gpu: dict[str, Any], host: dict[str, Any]
) -> None:
    samples = steady(replace(GPU, **gpu), host=replace(HOST, **host))
    assert not judged(samples).available
    assert judged(samples, replace(Thresholds(), **{limit: None})).available


def test_text_from_a_driver_cannot_break_the_answer() -> None:
    odd = replace(GPU, name="H\n100\x00", fault="\ud800" + "x" * 5000)
    assert NodeSnapshot.decode(json.dumps(judged(steady(odd)).encode())).gpus[0].name == "H 100 "


def test_the_window_is_ten_seconds_by_default() -> None:
    busy = replace(GPU, utilization_percent=93)
    assert judged([sample(10.1, busy), *steady(GPU)]).available
    assert not judged([sample(10.0, busy), *steady(GPU)]).available


def test_the_age_is_in_milliseconds_and_unknown_before_the_first_reading() -> None:
    assert judged([sample(1, GPU), sample(0.12345, GPU)]).age_s == 0.123
    assert judged([]).age_s is None


@pytest.mark.parametrize(
    ("samples", "problem", "message"),
    [
        ([], None, "The monitor is starting, 0 of 2 readings taken."),
        ([sample(0, GPU)], None, "The monitor is starting, 1 of 2 readings taken."),
        ([], "it ended", "The monitor is starting, 0 of 2 readings taken: it ended."),
    ],
)
def test_the_reason_while_the_monitor_starts(
    samples: list[Sample], problem: str | None, message: str
) -> None:
    (reason,) = judged(samples, problem=problem).reasons
    assert reason == NodeReason("starting", message)


def test_the_reason_for_a_stale_reading() -> None:
    (reason,) = judged([sample(20.5, GPU), sample(20, GPU)]).reasons
    why = "the sampler process is silent, a driver call may hang"
    message = f"The last reading is 20 s old (limit: 1.5 s): {why}."
    assert reason == NodeReason("stale", message, None, 20, 1.5, "s")


def test_the_reasons_of_a_busy_host() -> None:
    cpu, memory = judged(steady(GPU, host=HostReading(95, None, None, None, 99))).reasons
    cpu_message = "The CPU is at 95 % (limit: below 90 %)."
    assert cpu == NodeReason("cpu_busy", cpu_message, None, 95, 90, "percent")
    memory_message = "Main memory is at 99 % (limit: below 85 %)."
    assert memory == NodeReason("memory_busy", memory_message, None, 99, 85, "percent")


def test_a_reason_has_the_newest_index_of_its_gpu() -> None:
    full = replace(GPU, utilization_percent=93, memory_free_mb=150)
    samples = [sample(1, full), sample(0.5, full), sample(0, replace(full, index=4))]
    assert [reason.gpu for reason in judged(samples).reasons] == [4, 4]


def test_a_gpu_whose_memory_is_all_free_passes() -> None:
    assert judged(steady(replace(GPU, memory_free_mb=GPU.memory_total_mb))).available


def test_of_two_gpus_with_the_same_uuid_the_first_is_shown() -> None:
    (gpu,) = judged(steady(GPU, replace(OTHER, uuid=GPU.uuid))).gpus
    assert gpu.index == GPU.index


BROKEN = replace(OTHER, fault="Timeout")
LOST = replace(OTHER, fault="GPU is lost", lost=True)


@pytest.mark.parametrize(
    ("newest", "code", "message"),
    [
        ([OTHER], "gpu_unknown", "GPU 1 is readable again, but not yet for a whole window."),
        ([BROKEN], "gpu_unknown", "GPU 1 cannot be read: Timeout."),
        ([LOST], "gpu_lost", "GPU 1 is lost: GPU is lost."),
        ([], "gpu_lost", "GPU 1 is lost: the driver no longer lists it."),
    ],
)
def test_the_reason_for_a_gpu_that_did_not_always_answer(
    newest: list[GpuReading], code: str, message: str
) -> None:
    reason, *_ = judged([sample(1, OTHER), sample(0.5, BROKEN), sample(0, *newest)]).reasons
    assert reason == NodeReason(code, message, 1)


# Properties of every reading.

any_number = st.one_of(
    st.none(), st.floats(), st.integers(), st.floats(0, 100), st.sampled_from([80, 85, 90, 200])
)
any_gpu = st.builds(
    GpuReading,
    st.integers(0, 7),
    st.sampled_from(["GPU-a", "GPU-b", "GPU-c"]),
    st.text(),
    any_number,
    any_number,
    any_number,
    any_number,
    any_number,
    any_number,
    st.none() | st.integers(0, 99),
    st.none() | st.text(),
    st.booleans(),
)
any_fault = st.builds(Fault, st.sampled_from(NodeReasonCode), st.text())
any_report = st.builds(
    GpuReport,
    st.lists(any_gpu, max_size=3).map(tuple),
    st.lists(any_fault, max_size=1).map(tuple),
    st.just(0),
)
any_host = st.builds(
    HostReading,
    any_number,
    st.none() | st.tuples(st.floats(), st.floats(), st.floats()),
    any_number,
    any_number,
    any_number,
)
any_sample = st.builds(
    Sample,
    st.floats(NOW - 12, NOW) | st.floats(),
    st.just(PERIOD_S) | st.floats(),
    any_host,
    any_report,
)
any_limits = st.builds(Thresholds, *[st.none() | st.integers(0, 100) for _ in range(4)])


@given(st.lists(any_sample, max_size=4), any_limits, st.booleans(), st.floats(0.001, 10))
def test_total_and_every_answer_is_one_that_the_scheduler_accepts(
    samples: list[Sample], limits: Thresholds, require_gpu: bool, window_s: float
) -> None:
    snapshot = judged(samples, limits, require_gpu=require_gpu, window_s=window_s)
    assert NodeSnapshot.decode(json.dumps(snapshot.encode())) == snapshot


UNKNOWN = {
    "cpu_percent": "cpu_unknown",
    "memory_percent": "memory_unknown",
    "utilization_percent": "gpu_unknown",
    "memory_free_mb": "gpu_unknown",
}
QUANTITIES = list(UNKNOWN)
not_a_number = st.sampled_from([None, float("nan"), float("inf"), float("-inf"), -1, -0.001, 1e16])


def with_value(at: Sample, name: str, value: float | None) -> Sample:
    if name in ("cpu_percent", "memory_percent"):
        return replace(at, host=replace(at.host, **{name: value}))
    return replace(at, report=GpuReport((replace(at.report.gpus[0], **{name: value}),)))


@given(st.sampled_from(QUANTITIES), not_a_number, st.integers(0, 19))
def test_fails_closed_on_one_bad_number_anywhere_in_the_window(
    name: str, bad: float | None, at: int
) -> None:
    samples = steady(GPU)
    assert judged(samples).available
    samples[at] = with_value(samples[at], name, bad)
    snapshot = judged(samples)
    assert not snapshot.available
    assert codes(snapshot) == [UNKNOWN[name]]


@given(st.sampled_from(QUANTITIES[:3]), st.floats(100.001, 1e300))
def test_fails_closed_beyond_a_hundred_percent(name: str, beyond: float) -> None:
    samples = steady(GPU)
    samples[3] = with_value(samples[3], name, beyond)
    assert not judged(samples).available


def test_more_free_memory_than_the_gpu_has_is_unknown() -> None:
    assert codes(judged(steady(replace(GPU, memory_free_mb=10241)))) == ["gpu_unknown"]


#: What each quantity's values are compared with, and whether a larger value is the worse one.
LIMITS = {
    "cpu_percent": (90, True),
    "memory_percent": (85, True),
    "utilization_percent": (80, True),
    "memory_free_mb": (200, False),
}


@st.composite
def around_a_limit(draw: st.DrawFn) -> tuple[str, list[float], list[float]]:
    """Return a quantity, a window of values around its limit, and the same with one value worse."""
    name = draw(st.sampled_from(QUANTITIES))
    limit, more_is_worse = LIMITS[name]
    margins = st.sampled_from([-1, 0, 0.1, 1, 2, 3, 4, 5, 6, 7, 8])  # above 0: the value passes
    window = draw(st.lists(margins, min_size=2, max_size=3))
    at = draw(st.integers(0, len(window) - 1))
    worse = list(window)
    worse[at] -= draw(st.sampled_from([0.1, 1, 2, 3, 5]))
    sign = -1 if more_is_worse else 1
    return name, [limit + sign * m for m in window], [limit + sign * m for m in worse]


def available_with(name: str, values: list[float]) -> bool:
    """Return the verdict on a window whose other quantities are all good."""
    ages = [i * PERIOD_S for i in reversed(range(len(values)))]
    samples = [
        with_value(sample(age_s, GPU), name, value)
        for age_s, value in zip(ages, values, strict=True)
    ]
    return judged(samples).available


def test_a_worse_number_never_makes_a_node_available() -> None:
    seen: Counter[tuple[bool, bool]] = Counter()

    @settings(max_examples=200, derandomize=True)
    @given(around_a_limit())
    def never_turns_on(case: tuple[str, list[float], list[float]]) -> None:
        name, values, worse = case
        before, after = available_with(name, values), available_with(name, worse)
        seen[before, after] += 1
        assert before or not after

    never_turns_on()
    assert seen[True, True] >= seen.total() / 3  # only here could `before` have been wrong
    assert seen[True, False] >= seen.total() / 10
    assert seen[False, False] >= seen.total() / 10
