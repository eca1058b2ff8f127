"""How NVML's answers and errors are read, with a fake library whose answers the tests set."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from jobqueue.resources import GpuProcess
from resource_monitor.readings.nvml import Nvml, NvmlMissing

MIB = 2**20
SMALL = SimpleNamespace(pid=7, usedGpuMemory=None)
PROCESS = SimpleNamespace(pid=4242, usedGpuMemory=22_100 * MIB)


class FakeLibrary:
    """The calls of pynvml that we make; `errors` maps (call, index) or call to an NVML error."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.opened = 0
        self.utilization = 75
        self.processes = [SMALL, PROCESS]
        self.uuids = [f"GPU-{index}" for index in range(count)]
        self.errors: dict[Any, int] = {}

    def _say(self, call: str, index: int | None, answer: Any) -> Any:
        error = self.errors.get((call, index), self.errors.get(call))
        if error is not None:
            raise pynvml.NVMLError(error)
        return answer

    def nvmlInit(self) -> None:
        self._say("init", None, None)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._say("shutdown", None, None)

    def nvmlDeviceGetCount(self) -> int:
        return self._say("count", None, self.count)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return self._say("handle", index, index)

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return self._say("uuid", handle, self.uuids[handle])

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self._say("name", handle, "NVIDIA H100")

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        memory = SimpleNamespace(used=2048 * MIB, total=10240 * MIB, free=8192 * MIB + 1)
        return self._say("memory", handle, memory)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return self._say("utilization", handle, SimpleNamespace(gpu=self.utilization, memory=10))

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return self._say("power", handle, 280_520)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return self._say("temperature", handle, 71)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:
        return self._say("processes", handle, self.processes)


def test_a_gpu_in_mib_watts_and_processes() -> None:
    (gpu,) = Nvml(FakeLibrary()).read().gpus
    assert (gpu.uuid, gpu.name, gpu.fault) == ("GPU-0", "NVIDIA H100", None)
    assert (gpu.memory_used_mb, gpu.memory_total_mb, gpu.memory_free_mb) == (2048, 10240, 8192)
    assert (gpu.utilization_percent, gpu.power_w, gpu.temperature_c, gpu.process_count) == (
        75,
        280.5,
        71,
        2,
    )


class FakeOwners:
    def pid(self, pid: int) -> int | None:
        return pid

    def user(self, pid: int) -> str | None:
        return {4242: "bob"}.get(pid)


def test_processes_have_memory_and_user_and_the_largest_is_first() -> None:
    library = FakeLibrary()
    (gpu,) = Nvml(library, owners=FakeOwners()).read().gpus  # type: ignore[arg-type]
    assert gpu.processes == (GpuProcess(4242, 22_100, "bob"), GpuProcess(7, None, None))
    library.processes = [SimpleNamespace(pid=i, usedGpuMemory=i * MIB) for i in range(100)]
    (gpu,) = Nvml(library, owners=FakeOwners()).read().gpus  # type: ignore[arg-type]
    assert gpu.process_count == 100
    assert [one.pid for one in gpu.processes or ()] == list(range(99, 67, -1))


def test_an_idle_gpu_reads_zero_and_not_none() -> None:
    library = FakeLibrary()
    library.utilization = 0
    assert Nvml(library).read().gpus[0].utilization_percent == 0


def test_a_missing_library_raises_so_that_the_next_backend_is_used() -> None:
    library = FakeLibrary()
    library.errors["init"] = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    with pytest.raises(NvmlMissing):
        Nvml(library).read()


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        ("init", pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "no_driver"),
        ("init", pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "no_driver"),
        ("init", pynvml.NVML_ERROR_UNKNOWN, "gpu_unknown"),
        ("count", pynvml.NVML_ERROR_TIMEOUT, "gpu_unknown"),
    ],
)
def test_an_error_of_the_whole_library_is_a_fault_until_it_ends(
    call: str, error: int, code: str
) -> None:
    library = FakeLibrary()
    nvml = Nvml(library)
    library.errors[call] = error
    report = nvml.read()
    assert (report.gpus, [fault.code for fault in report.faults]) == ((), [code])
    library.errors.clear()
    assert [gpu.uuid for gpu in nvml.read().gpus] == ["GPU-0"]


def test_zero_devices_are_read_as_zero_gpus() -> None:
    assert [fault.code for fault in Nvml(FakeLibrary(count=0)).read().faults] == ["no_gpu"]


@pytest.mark.parametrize("call", ["handle", "memory", "utilization"])
def test_a_lost_gpu_keeps_its_name_and_the_other_is_read(call: str) -> None:
    library = FakeLibrary(count=2)
    nvml = Nvml(library)
    nvml.read()
    library.errors[(call, 0)] = pynvml.NVML_ERROR_GPU_IS_LOST
    lost, other = nvml.read().gpus
    assert (lost.uuid, lost.lost, lost.fault, lost.memory_free_mb) == (
        "GPU-0",
        True,
        "GPU is lost",
        None,
    )
    assert (other.uuid, other.fault, other.memory_free_mb) == ("GPU-1", None, 8192)


def test_a_gpu_lost_from_the_start_is_a_fault_with_its_index() -> None:
    library = FakeLibrary(count=2)
    library.errors[("handle", 0)] = pynvml.NVML_ERROR_GPU_IS_LOST
    report = Nvml(library).read()
    assert [gpu.uuid for gpu in report.gpus] == ["GPU-1"]
    assert [(fault.code, fault.message) for fault in report.faults] == [
        ("gpu_lost", "GPU 0 cannot be read: GPU is lost.")
    ]


def test_a_failing_gpu_does_not_take_the_name_of_one_whose_index_changed() -> None:
    library = FakeLibrary(count=2)
    nvml = Nvml(library)
    library.count = 1
    library.uuids = ["GPU-b"]  # GPU-a fell off the bus, so that b is number 0
    nvml.read()
    library.count = 2
    library.uuids = ["GPU-a", "GPU-b"]
    library.errors[("handle", 0)] = pynvml.NVML_ERROR_GPU_IS_LOST
    report = nvml.read()
    assert [(gpu.uuid, gpu.fault) for gpu in report.gpus] == [("GPU-b", None)]
    assert [fault.message for fault in report.faults] == ["GPU 0 cannot be read: GPU is lost."]


def test_an_unsupported_value_reads_as_none_without_a_fault() -> None:
    library = FakeLibrary()
    library.errors |= dict.fromkeys(
        ["memory", "utilization", "power"], pynvml.NVML_ERROR_NOT_SUPPORTED
    )
    (gpu,) = Nvml(library).read().gpus
    assert (gpu.memory_free_mb, gpu.utilization_percent, gpu.power_w, gpu.fault) == (
        None,
        None,
        None,
        None,
    )


def test_an_error_in_a_value_that_the_gate_does_not_need_is_not_a_fault() -> None:
    library = FakeLibrary()
    library.errors |= dict.fromkeys(
        ["power", "temperature", "processes"], pynvml.NVML_ERROR_UNKNOWN
    )
    (gpu,) = Nvml(library).read().gpus
    assert (gpu.power_w, gpu.temperature_c, gpu.process_count, gpu.fault) == (
        None,
        None,
        None,
        None,
    )
    assert gpu.utilization_percent == 75


def test_nvml_is_opened_once_and_again_only_some_time_after_a_fault() -> None:
    library, now = FakeLibrary(), [0.0]
    nvml = Nvml(library, clock=lambda: now[0], reopen_after_s=30)
    for _ in range(3):
        now[0] += 100
        nvml.read()
    assert library.opened == 1
    library.errors["memory"] = pynvml.NVML_ERROR_GPU_IS_LOST
    nvml.read()  # closes NVML, which has been open for long
    nvml.read()
    nvml.read()
    assert library.opened == 2
    now[0] += 31
    nvml.read()
    nvml.read()
    assert library.opened == 3
