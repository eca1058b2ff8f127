"""Measure the peak memory of two training steps on NTU60's mix, each case in its own process.

The kernel's high-water mark of the process (VmHWM) is reset once the networks and the batch exist,
so that start-up does not count. `ru_maxrss` would not do: a child inherits the peak of the process
that started it.

glibc keeps holes of the size of a tensor that it cannot use again (alignment), more of them for
more different sizes. With MALLOC_MMAP_THRESHOLD_ every tensor is returned when it is freed, and the
peak is what the step needs. Both networks are measured with the same allocator.
"""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

from benchmarks.result import Result

ALLOCATORS = {"every tensor mapped": {"MALLOC_MMAP_THRESHOLD_": "262144"}, "glibc as it comes": {}}
KINDS = {"float32": "float32", "blocks": "float32, blocks recomputed", "bf16": "bf16"}
STEPS, TARGET = 2, 0.45  # in the second step the optimiser has its momentum
RESET_PEAK = "5"  # proc(5), clear_refs


def ratios() -> list[Result]:
    """Return the peaks above the memory before the first step, relative to the reference's."""
    found = []
    for name, environment in ALLOCATORS.items():
        reference = peak("reference", "float32", environment)
        for kind, how in KINDS.items():
            ours = peak("fast", kind, environment)
            label = f"peak memory on NTU60's mix, {how} ({name}; {ours:.2f} of {reference:.2f} GiB)"
            found.append(Result(label, ours / reference, "×", TARGET))
    return found


def peak(which: str, kind: str, environment: dict[str, str]) -> float:
    """Return the GiB above the memory before the first step, measured in a new process."""
    command = [sys.executable, "-m", "benchmarks.trainer.memory", which, kind]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def measure(which: str, kind: str) -> float:
    import torch

    from benchmarks.trainer.cases import MIX, bf16, networks, training

    torch.set_num_threads(2)
    reference, model = networks("cpu")
    if kind == "blocks":
        model.backbone.recompute = "blocks"
    chosen = reference if which == "reference" else model
    del reference, model
    step = training(chosen, "cpu", MIX, bf16("cpu") if kind == "bf16" else nullcontext())
    Path("/proc/self/clear_refs").write_text(RESET_PEAK)
    before = resident("VmRSS")
    for _ in range(STEPS):
        step()
    return resident("VmHWM") - before


def resident(mark: str) -> float:
    """Return GiB: VmRSS now, or VmHWM, the most since the reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{mark}:")) / 2**20


if __name__ == "__main__":
    print(measure(*sys.argv[1:]))
