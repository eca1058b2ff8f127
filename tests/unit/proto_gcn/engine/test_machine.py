"""What a run finds out about the machine: GPUs, threads, their use."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from proto_gcn.engine import device
from proto_gcn.engine.reporting import telemetry
from proto_gcn.engine.reporting.run_log import MetricsLog
from proto_gcn.engine.reporting.telemetry import Gpu, Sample, Telemetry
from proto_gcn.errors import BusyError, TrainerError


def test_a_busy_gpu_is_refused_but_not_one_of_unknown_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    busy = Sample([Gpu(0, None, 80, None, None, None)])
    with pytest.raises(
        BusyError, match=r"GPU 0 is in use by another program \(80 %, the limit is 80 %\)"
    ):
        device.pick_device(busy, 80)
    assert device.pick_device(busy, None).type == "cuda"
    idle = Sample(
        [Gpu(0, None, 0, None, None, None), *busy.gpus]
    )  # a second GPU, which we do not use
    assert device.pick_device(idle, 80).type == "cuda"
    assert device.pick_device(Sample([Gpu(0, None, 79, None, None, None)]), 80).type == "cuda"
    assert device.pick_device(Sample([Gpu(0, None, None, None, None, None)]), 80).type == "cuda"


def test_a_promised_gpu_that_cannot_be_used_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        TrainerError, match=r"promised \(REQUIRE_GPU=true\).* set runtimeClassName: nvidia"
    ) as refused:
        device.require_gpu()
    assert (
        refused.value.exit_code == 1
    )  # the node's fault: with 2 its user would be asked to fix the config
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device.require_gpu()


def test_cpu_threads_leave_one_and_respect_the_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(device, "CGROUP_CPU", tmp_path / "cpu.max")
    assert device.cpu_threads() == 7
    for text, threads in (("max 100000", 7), ("400000 100000", 3), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(text)
        assert device.cpu_threads() == threads


def telemetry_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_telemetry_writes_null_for_what_is_unknown(tmp_path: Path) -> None:
    watcher = Telemetry(
        MetricsLog(tmp_path / "m"), lambda: Sample([Gpu(0, "GPU-1", None, None, 10, None)])
    )
    sample = watcher.start()
    watcher.stop()
    (line,) = telemetry_lines(tmp_path / "m")
    assert line.pop("at").endswith("Z")
    gpu = {
        "index": 0,
        "uuid": "GPU-1",
        "utilization_percent": None,
        "memory_used_mb": None,
        "memory_total_mb": 10,
    }
    host = {"cpu_percent": None, "memory_used_mb": None, "memory_total_mb": None}
    assert line == {"kind": "telemetry", "gpus": [gpu | {"power_w": None}]} | host
    assert sample.gpus[0].memory_total_mb == 10


def test_a_broken_or_hanging_driver_does_not_stop_a_training(tmp_path: Path) -> None:
    def broken() -> Sample:
        raise OSError("driver")

    import threading

    release = threading.Event()
    for sample in (broken, lambda: release.wait() and Sample()):
        watcher = Telemetry(MetricsLog(tmp_path / "m"), sample)  # type: ignore[arg-type]
        assert watcher.start(first_within_s=0.05) == Sample()
        watcher.stop()
    release.set()


def test_the_machine_is_sampled_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "pynvml", None)
    sample = telemetry.take_sample()
    assert sample.gpus == []
    assert 0 < sample.memory_used_mb < sample.memory_total_mb
    monkeypatch.setattr(telemetry, "psutil", None)
    assert telemetry.take_sample() == Sample()


class FakeNvml:
    """Act as an NVML with two GPUs, of which the second has no power reading."""

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return int(uuid.removeprefix("GPU-"))

    def nvmlDeviceGetIndex(self, handle: int) -> int:
        return handle

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return type("Rates", (), {"gpu": 10 * handle})

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return type("Memory", (), {"used": 3 * 2**20, "total": 9 * 2**20})

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        if handle == 1:
            raise RuntimeError("not supported")
        return 250_500


@pytest.mark.parametrize(
    ("visible", "indices"), [(None, [0, 1]), ("1", [1]), ("GPU-0", [0]), ("", []), ("7", [])]
)
def test_gpus_are_those_that_cuda_may_see(
    visible: str | None, indices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "pynvml", FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = telemetry.take_sample().gpus
    assert gpus == [Gpu(i, f"GPU-{i}", 10 * i, 3, 9, None if i else 250.5) for i in indices]
