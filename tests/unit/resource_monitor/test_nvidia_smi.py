"""nvidia-smi's output: numbers, unsupported values, and messages about broken GPUs."""

import subprocess

import pytest

from resource_monitor.readings.nvidia_smi import TIMEOUT_S, NvidiaSmi, parse
from resource_monitor.readings.reading import GpuReading

FREE = "0, GPU-a, 2048, 10240, 8192, 75, 280.52, 71, NVIDIA H100 80GB HBM3"


def gpu_of(line: str) -> GpuReading:
    (gpu,) = parse(0, line).gpus
    return gpu


def test_a_gpu() -> None:
    assert gpu_of(FREE) == GpuReading(
        0, "GPU-a", "NVIDIA H100 80GB HBM3", 2048, 10240, 8192, 75, 280.52, 71
    )


def test_units_and_a_comma_in_the_name_are_allowed() -> None:
    gpu = gpu_of("1, GPU-b, 2048 MiB, 10240 MiB, 8192 MiB, 75 %, 280.52 W, 71, Tesla T4, rev. B")
    assert (gpu.memory_free_mb, gpu.utilization_percent, gpu.power_w, gpu.name) == (
        8192,
        75,
        280.52,
        "Tesla T4, rev. B",
    )


@pytest.mark.parametrize("word", ["[N/A]", "N/A", "[Not Supported]", "[Insufficient Permissions]"])
def test_an_unsupported_value_reads_as_none_without_a_fault(word: str) -> None:
    gpu = gpu_of(f"0, GPU-a, 2048, 10240, 8192, {word}, {word}, 71, NVIDIA A30")
    assert (gpu.utilization_percent, gpu.power_w, gpu.fault) == (None, None, None)
    assert gpu.memory_free_mb == 8192


@pytest.mark.parametrize(
    ("word", "fault", "lost"),
    [
        ("[Unknown Error]", "Unknown Error", False),
        ("[GPU is lost]", "GPU is lost", True),
        ("ERR!", "ERR!", False),
        ("nan", "nan", False),
    ],
)
def test_any_other_word_is_a_fault_of_that_gpu(word: str, fault: str, lost: bool) -> None:
    broken, other = parse(
        0, f"0, GPU-a, {word}, {word}, {word}, {word}, {word}, {word}, H100\n1{FREE[1:]}"
    ).gpus
    assert (broken.fault, broken.lost, broken.memory_free_mb) == (fault, lost, None)
    assert (other.index, other.fault, other.utilization_percent) == (1, None, 75)


def test_a_line_that_is_not_a_gpu_is_a_fault() -> None:
    line = (
        "Unable to determine the device handle for GPU0000:65:00.0: GPU is lost.  "
        "Reboot the system to recover this GPU"
    )
    report = parse(0, f"{FREE}\n{line}\n")
    assert [gpu.uuid for gpu in report.gpus] == ["GPU-a"]
    assert [fault.code for fault in report.faults] == ["gpu_lost"]
    assert line in report.faults[0].message


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (6, "No devices were found", "no_gpu"),
        (
            9,
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
            "no_driver",
        ),
        (18, "Failed to initialize NVML: Driver/library version mismatch", "no_driver"),
        (255, "Failed to initialize NVML: Unknown Error", "gpu_unknown"),
        (0, "", "gpu_unknown"),
        (0, "0, GPU-a, 2048", "gpu_unknown"),
    ],
)
def test_a_report_without_gpus_has_the_reason(code: int, text: str, expected: str) -> None:
    report = parse(code, text)
    assert report.gpus == ()
    assert [fault.code for fault in report.faults] == [expected]


def test_a_command_that_hangs_or_does_not_exist_is_a_fault() -> None:
    def hangs() -> tuple[int, str]:
        raise subprocess.TimeoutExpired("nvidia-smi", TIMEOUT_S)

    def is_missing() -> tuple[int, str]:
        raise FileNotFoundError(2, "No such file or directory")

    assert NvidiaSmi(hangs).read().faults[0].message == "nvidia-smi did not answer within 5 s."
    assert (
        NvidiaSmi(is_missing).read().faults[0].message
        == "nvidia-smi cannot be run: No such file or directory."
    )
