"""One sample: its readings, what a failure leaves in it, and the period that it declares."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from devtools import ROOT
from jobqueue.resources import GpuProcess, NodeReasonCode
from resource_monitor.readings.host import Host
from resource_monitor.readings.no_gpu import NoGpu
from resource_monitor.readings.reading import Fault, GpuReading, GpuReport, HostReading, Sample
from resource_monitor.sampler_process import take

HOST = HostReading(45.0, (2.1, 1.9, 1.7), 12288, 32768, 37.5)
REPORT = GpuReport(
    (
        GpuReading(
            0, "GPU-a", "H100", 1, 3, 2, 50, None, 40, 1, processes=(GpuProcess(4242, None, "bob"),)
        ),
        GpuReading(1, "GPU-b", "H100", fault="lost", lost=True),
    ),
    (Fault(NodeReasonCode.GPU_LOST, "GPU 2 cannot be read."),),
)


class Answers:
    """A backend that returns one answer, or raises it."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def read(self) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def taken(gpus: object, host: object, took_s: float = 0.0) -> Sample:
    times: Iterator[float] = iter([100.0, 100.0 + took_s])
    return take(Answers(gpus), Answers(host), 0.5, lambda: next(times))


def test_a_sample_survives_the_pipe() -> None:
    sample = taken(REPORT, HOST)
    assert sample == Sample(100.0, 0.5, HOST, REPORT)
    assert Sample.decode(sample.encode()) == sample


def test_the_sampler_process_stays_small() -> None:
    big = ("flask", "gunicorn", "prometheus_client", "pydantic", "requests", "redis")
    imported = f"[name for name in {big} if name in sys.modules]"
    code = f"import sys, resource_monitor.sampler_process; print({imported})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


def test_the_hosts_numbers_are_there_even_if_reading_the_gpus_raises() -> None:
    sample = taken(ValueError("odd driver"), HOST)
    assert sample.host == HOST
    assert [fault.code for fault in sample.report.faults] == ["gpu_unknown"]
    assert "ValueError: odd driver" in sample.report.faults[0].message


def test_a_host_that_cannot_be_read_is_unknown() -> None:
    assert taken(REPORT, OSError("no /proc")).host == HostReading()


def test_the_declared_period_is_the_longest_of_setting_backend_and_work() -> None:
    assert taken(REPORT, HOST, took_s=0.1).period_s == 0.5
    assert taken(REPORT, HOST, took_s=1.5).period_s == 1.5
    assert taken(GpuReport(min_period_s=2.0), HOST).period_s == 2.0


def test_the_readings_of_this_machine_are_plausible() -> None:
    reading = Host().read()
    assert reading.cpu_percent is not None
    assert 0 <= reading.cpu_percent <= 100
    assert reading.memory_total_mb == psutil.virtual_memory().total // 2**20
    assert reading.memory_used_mb is not None
    assert reading.memory_percent is not None
    assert (
        abs(100 * reading.memory_used_mb / reading.memory_total_mb - reading.memory_percent) < 0.2
    )


def test_only_a_pci_bus_with_an_nvidia_card_lacks_a_driver(
    tmp_path: Path,
) -> None:
    def card(name: str, vendor: str, kind: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")

    def code() -> str:
        return NoGpu(tmp_path).read().faults[0].code

    card("0000:00:01.0", "0x8086", "0x030000")
    card("0000:00:02.0", "0x10de", "0x040300")  # the sound device of a card
    (tmp_path / "0000:00:03.0").mkdir()
    assert code() == "no_gpu"
    card("0000:01:00.0", "0x10de", "0x030200")
    assert code() == "no_driver"
