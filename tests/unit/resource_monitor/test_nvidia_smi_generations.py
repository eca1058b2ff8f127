"""nvidia-smi of several driver generations; the files were written by hand after its formats."""

from pathlib import Path

import pytest

from jobqueue.resources import Thresholds
from resource_monitor.decision import decide
from resource_monitor.gate import Gate
from resource_monitor.readings.nvidia_smi import parse
from resource_monitor.readings.reading import GpuReading, GpuReport, HostReading, Sample

FIXTURES = Path(__file__).parent / "nvidia_smi"
HOST = HostReading(10.0, (0.1, 0.1, 0.1), 1000, 8000, 12.5)


def report(name: str) -> GpuReport:
    return parse(0, (FIXTURES / name).read_text(encoding="utf-8"))


def numbers(gpu: GpuReading) -> tuple[float | None, ...]:
    return (
        gpu.memory_used_mb,
        gpu.memory_total_mb,
        gpu.memory_free_mb,
        gpu.utilization_percent,
        gpu.power_w,
    )


@pytest.mark.parametrize(
    ("name", "passes", "codes"),
    [
        ("470.csv", [True, False], ["gpu_unknown"]),
        ("535-mig.csv", [False, False], ["gpu_unknown"] * 3),
        ("550.csv", [True, False, False], ["gpu_unknown", "gpu_lost"]),
        ("550-fallen-off.csv", [False], ["gpu_busy", "gpu_lost"]),
        ("580-unified.csv", [False], ["gpu_unknown"]),
    ],
)
def test_the_verdict_on_each(name: str, passes: list[bool], codes: list[str]) -> None:
    samples = [Sample(at, 2.0, HOST, report(name)) for at in (6.0, 8.0, 10.0)]
    snapshot = decide(samples, Gate(Thresholds()), node="gpu-1", now=10.0)
    assert [gpu.available for gpu in snapshot.gpus] == passes
    assert [reason.code for reason in snapshot.reasons] == codes
    assert snapshot.available is any(passes)


def test_the_values_of_each_generation_are_read_and_unknown_ones_as_none() -> None:
    assert [numbers(gpu) for gpu in report("470.csv").gpus] == [
        (1024, 32510, 31486, 12, 61.38),
        (310, 2001, 1691, None, None),
    ]
    assert [numbers(gpu) for gpu in report("535-mig.csv").gpus] == [
        (45, 81920, 81004, None, 68.94),
        (None,) * 5,
    ]
    assert [numbers(gpu) for gpu in report("550.csv").gpus] == [
        (0, 81559, 81005, 0, 71.02),
        (None,) * 5,
        (None,) * 5,
    ]
    assert [numbers(gpu) for gpu in report("580-unified.csv").gpus] == [
        (None, None, None, 4, 11.45)
    ]
    assert [gpu.fault for gpu in report("550.csv").gpus] == [None, "Unknown Error", "GPU is lost"]


@pytest.mark.parametrize("name", ["470.xml", "535-mig.xml", "580-unified.xml", "550.txt"])
def test_another_format_is_a_fault_and_not_a_gpu(name: str) -> None:
    """The output of a wrapper that prints another format must not be read in part."""
    answer = report(name)
    assert (answer.gpus, [fault.code for fault in answer.faults]) == ((), ["gpu_unknown"])
