"""Test the monitor and nvidia-ml-py with a fake libnvidia-ml.so.1 that a test scripts."""

import getpass
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from devtools import ROOT
from devtools.nvml.script import (
    LOST,
    NOT_SUPPORTED,
    RESET_REQUIRED,
    UNKNOWN,
    VERSION_MISMATCH,
    FakeNvml,
    compile_into,
    fails,
    gpu,
    uuid,
)
from devtools.testbed.monitor import Monitor, eventually, monitors
from jobqueue.resources import Gpu, GpuProcess, NodeSnapshot
from resource_monitor.readings.owners import Owners

FAST = {"SAMPLE_PERIOD_S": "0.1", "REQUIRE_GPU": "true", "MEMORY_PERCENT": "off"}
NOW = "?window_s=0.2"  # only the newest readings, without those of the previous script


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Monitor]]:
    with monitors() as start:
        yield start


@pytest.fixture(scope="module")
def shared(
    start: Callable[..., Monitor], nvml_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Monitor, FakeNvml]:
    """Provide one monitor for all scripts that may follow each other."""
    fake = FakeNvml(nvml_folder, tmp_path_factory.mktemp("shared") / "nvml.txt")
    fake.says(gpu(0), gpu(1))
    monitor = start(**FAST, **fake.env)
    eventually(lambda: monitor.code("/readyz") == 200)
    return monitor, fake


def reasons(status: NodeSnapshot) -> list[tuple[str, int | None]]:
    return [(reason.code, reason.gpu) for reason in status.reasons]


def soon(monitor: Monitor, *expected: tuple[str, int | None]) -> NodeSnapshot:
    """Return the first status with these reasons."""
    last: list[NodeSnapshot] = []

    def seen() -> bool:
        last[:] = [monitor.status(NOW)]
        return reasons(last[0]) == list(expected)

    try:
        eventually(seen)
    except AssertionError as error:
        raise AssertionError(f"wanted {expected}, last: {last}") from error
    return last[0]


def said(
    shared: tuple[Monitor, FakeNvml], *gpus: str, expected: list[tuple[str, int | None]]
) -> NodeSnapshot:
    """Return the status after both GPUs were free and then became these."""
    monitor, fake = shared
    fake.says(gpu(0), gpu(1))
    soon(monitor)
    fake.says(*gpus)
    return soon(monitor, *expected)


def numbers(card: Gpu) -> tuple[float | None, ...]:
    return card.utilization_percent, card.memory_used_mb, card.memory_free_mb, card.memory_total_mb


def test_two_idle_gpus(shared: tuple[Monitor, FakeNvml]) -> None:
    said(shared, gpu(0), gpu(1, utilization=0), expected=[])
    eventually(lambda: shared[0].status(NOW).gpus[1].utilization_percent == 0)
    status = shared[0].status(NOW)
    assert status.available
    assert [card.uuid for card in status.gpus] == [uuid(0), uuid(1)]
    assert [numbers(card) for card in status.gpus] == [
        (3, 2048, 22528, 24576),
        (0, 2048, 22528, 24576),
    ]
    assert (status.gpus[0].name, status.gpus[0].power_w, status.gpus[0].temperature_c) == (
        "NVIDIA H100",
        280.5,
        71,
    )
    assert [(card.process_count, card.processes) for card in status.gpus] == [(0, ()), (0, ())]


def test_one_is_busy_and_then_both(shared: tuple[Monitor, FakeNvml]) -> None:
    status = said(shared, gpu(0, utilization=93), gpu(1), expected=[("gpu_busy", 0)])
    assert (status.available, [card.available for card in status.gpus]) == (True, [False, True])
    full = gpu(1, used=24576 - 150)
    status = said(
        shared, gpu(0, utilization=93), full, expected=[("gpu_busy", 0), ("gpu_memory", 1)]
    )
    assert not status.available
    assert status.reasons[1].message == "GPU 1 has 150 MB free (limit: above 200 MB)."


def test_the_user_of_a_busy_gpu_is_named(shared: tuple[Monitor, FakeNvml]) -> None:
    more = f"process {os.getpid()} 22100\nprocess 4194304 -1"
    busy = gpu(0, utilization=93, more=more)
    unnamed = said(shared, busy, gpu(1), expected=[("gpu_busy", 0)])
    owners, pid = Owners(), os.getpid()
    user = getpass.getuser() if owners.knows_names else None  # a container knows less
    who = (f"pid {pid}" if owners.knows_pids else "a process") + (f" of {user}" if user else "")
    sentence = f"GPU 0 is at 93 % (limit: below 80 %), used by {who} (22,100 MB) and 1 more."
    eventually(lambda: shared[0].status(NOW).reasons[0].message == sentence)
    status = shared[0].status(NOW)
    assert unnamed.gpus[0].process_count == 2
    assert status.gpus[0].processes == (
        GpuProcess(owners.pid(pid), 22100, user),
        GpuProcess(owners.pid(4194304), None, None),
    )


def test_a_lost_gpu_does_not_hide_the_other_and_is_used_again_when_it_is_back(
    shared: tuple[Monitor, FakeNvml],
) -> None:
    status = said(shared, gpu(0), gpu(1, more=fails(LOST)), expected=[("gpu_lost", 1)])
    assert (status.available, [card.available for card in status.gpus]) == (True, [True, False])
    assert status.reasons[0].message == "GPU 1 is lost: GPU is lost."
    assert numbers(status.gpus[1]) == (None,) * 4
    monitor, fake = shared
    fake.says(gpu(0), gpu(1))
    assert all(card.available for card in soon(monitor).gpus)


def test_mig_has_no_utilisation_which_is_null_and_does_not_pass(
    shared: tuple[Monitor, FakeNvml],
) -> None:
    mig = gpu(0, more=fails(NOT_SUPPORTED, "DeviceGetUtilizationRates"))
    status = said(shared, mig, expected=[("gpu_unknown", 0)])
    assert not status.available
    assert numbers(status.gpus[0]) == (None, 2048, 22528, 24576)
    assert status.reasons[0].message == "GPU 0 does not report its usage."


def test_unified_memory_has_no_memory_figure_which_is_null_and_does_not_pass(
    shared: tuple[Monitor, FakeNvml],
) -> None:
    unified = gpu(0, more=fails(NOT_SUPPORTED, "DeviceGetMemoryInfo"))
    status = said(shared, unified, expected=[("gpu_unknown", 0)])
    assert not status.available
    assert numbers(status.gpus[0]) == (3, None, None, None)


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (fails(RESET_REQUIRED), "gpu_lost", "GPU 0 is lost: GPU requires restart."),
        (
            fails(UNKNOWN, "DeviceGetMemoryInfo"),
            "gpu_unknown",
            "GPU 0 cannot be read: Unknown Error.",
        ),
    ],
)
def test_an_ecc_error_takes_that_gpu_out_alone(
    shared: tuple[Monitor, FakeNvml], error: str, expected: str, message: str
) -> None:
    status = said(shared, gpu(0, more=error), gpu(1), expected=[(expected, 0)])
    assert (status.available, [card.available for card in status.gpus]) == (True, [False, True])
    assert status.reasons[0].message == message


def test_mig_passes_if_utilisation_is_not_checked(
    start: Callable[..., Monitor], nvml: FakeNvml
) -> None:
    nvml.says(gpu(0, more=fails(NOT_SUPPORTED, "DeviceGetUtilizationRates", "DeviceGetPowerUsage")))
    monitor = start(**FAST, **nvml.env, GPU_UTILIZATION_PERCENT="off")
    eventually(lambda: monitor.code("/readyz") == 200)
    [card] = monitor.status().gpus
    assert (card.available, card.utilization_percent, card.power_w) == (True, None, None)


def test_a_driver_of_another_version_than_the_library(
    start: Callable[..., Monitor], nvml: FakeNvml
) -> None:
    nvml.says(f"init {VERSION_MISMATCH}", gpu(0))
    monitor = start(**FAST, **nvml.env)
    eventually(lambda: monitor.code("/readyz") == 200)
    status = monitor.status()
    assert (status.available, reasons(status), status.gpus) == (False, [("no_driver", None)], ())
    assert "restart the node after a driver update" in status.reasons[0].message


def test_a_hang_never_delays_the_status_and_ends_by_itself(
    start: Callable[..., Monitor], nvml: FakeNvml
) -> None:
    nvml.says(gpu(0))
    monitor = start(**FAST, **nvml.env)
    eventually(lambda: monitor.code("/readyz") == 200)
    assert monitor.status().available
    nvml.says("hang DeviceGetMemoryInfo", gpu(0))
    eventually(lambda: reasons(monitor.status()) == [("stale", None)])
    times = []
    for _ in range(15):
        began = time.monotonic()
        status = monitor.status()
        times.append(time.monotonic() - began)
        assert (status.available, reasons(status)) == (False, [("stale", None)])
    assert statistics.median(times) < 0.5
    assert "a driver call may hang" in status.reasons[0].message
    assert [monitor.code(path) for path in ("/healthz", "/readyz", "/metrics")] == [200, 503, 200]
    metrics = requests.get(f"{monitor.url}/metrics", timeout=5).text
    assert "\ngpuq_monitor_available 0.0\n" in metrics
    assert f'gpuq_monitor_gpu_available{{index="0",uuid="{uuid(0)}"}} 0.0' in metrics
    nvml.says(gpu(0))
    assert soon(monitor).available


def test_a_monitor_that_starts_while_the_driver_hangs_answers_and_gets_ready_later(
    start: Callable[..., Monitor], nvml: FakeNvml
) -> None:
    nvml.says("hang Init", gpu(0))
    monitor = start(**FAST, **nvml.env)
    eventually(lambda: monitor.code("/healthz") == 200)
    assert monitor.code("/readyz") == 503
    assert (monitor.status().available, reasons(monitor.status())) == (False, [("starting", None)])
    nvml.says(gpu(0))
    eventually(lambda: monitor.code("/readyz") == 200)
    assert monitor.status().available


READER = """
import sys
from resource_monitor.readings.nvml import Nvml
nvml = Nvml(reopen_after_s=float(sys.argv[1]))
for _ in sys.stdin:
    print(*((gpu.index, gpu.uuid, gpu.fault) for gpu in nvml.read().gpus), sep=";", flush=True)
"""


@pytest.mark.parametrize(("reopen_after_s", "is_back"), [(0, True), (3600, False)])
def test_a_gpu_that_was_reset_answers_only_after_nvml_is_opened_again(
    nvml: FakeNvml, reopen_after_s: float, is_back: bool
) -> None:
    command = [sys.executable, "-c", READER, str(reopen_after_s)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | nvml.env,
        cwd=ROOT,
    ) as reader:
        assert reader.stdin
        assert reader.stdout

        def read() -> str:
            reader.stdin.write("\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        well, lost = str((0, uuid(0), None)), str((0, uuid(0), "GPU is lost"))
        nvml.says("sticky", gpu(0))
        assert read() == well
        nvml.says("sticky", gpu(0, more=fails(LOST, "DeviceGetMemoryInfo")))
        assert read() == lost
        nvml.says("sticky", gpu(0))
        assert [read() == well for _ in range(2)][-1] is is_back
        reader.stdin.close()


def test_the_trainers_telemetry_measures_its_own_gpu(nvml: FakeNvml) -> None:
    nvml.says(gpu(0), gpu(1, utilization=42))
    code = "from proto_gcn.engine.reporting.telemetry import take_sample; print(take_sample().gpus)"
    env = os.environ | nvml.env | {"CUDA_VISIBLE_DEVICES": uuid(1)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=ROOT
    )
    assert f"index=1, uuid='{uuid(1)}', utilization_percent=42, memory_used_mb=2048" in done.stdout
    assert "index=0" not in done.stdout


def test_without_a_compiler_the_message_names_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AssertionError, match="apt install gcc"):
        compile_into(tmp_path)
