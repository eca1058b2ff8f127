"""A sampler process with the real loop and fake backends: `sampler_of_fakes.py BEHAVIOUR MARKER`.

The first process of a test (MARKER does not exist yet) misbehaves after three samples; later ones
behave.
"""

import ctypes
import os
import sys
from pathlib import Path

from resource_monitor.readings.reading import GpuReading, GpuReport, HostReading
from resource_monitor.sampler_process import serve

PERIOD_S = 0.05
SAMPLES_BEFORE = 3


class FakeHost:
    def read(self) -> HostReading:
        return HostReading(10.0, (0.1, 0.1, 0.1), 1000, 8000, 12.5)


class FakeGpus:
    """One idle GPU whose driver hangs, raises, prints or dies, once."""

    def __init__(self, behaviour: str, marker: Path) -> None:
        self.behaviour = behaviour
        self.marker = marker
        self.count = 0
        self.is_well = marker.exists()

    def read(self) -> GpuReport:
        self.count += 1
        if not self.is_well and self.count > SAMPLES_BEFORE:
            self.marker.write_text(str(os.getpid()))
            self.misbehave()
        return GpuReport((GpuReading(0, "GPU-a", "fake", 0, 1000, 1000, 0),))

    def misbehave(self) -> None:
        if self.behaviour == "hang":
            ctypes.CDLL(None).pause()  # in C, as NVML would
        elif self.behaviour == "die":
            os._exit(3)
        elif self.behaviour == "print":
            os.write(1, b"NVRM: something a library prints\n")
        elif self.behaviour == "raise":
            raise RuntimeError("the driver crashed")


if __name__ == "__main__":
    serve(FakeGpus(sys.argv[1], Path(sys.argv[2])), FakeHost(), PERIOD_S)
