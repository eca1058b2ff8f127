"""Measure the seconds of each case, interleaved in one process: neighbours slow all of them."""

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.result import Result
from benchmarks.trainer.cases import (
    BATCH,
    MIX,
    TWO,
    VIEWED,
    Work,
    bf16,
    evaluation,
    networks,
    training,
)
from proto_gcn.model.head import ProtoGCN

ROUNDS, THREADS, SQUARE = 5, 2, 2048
CUDA_KINDS = "reference, float32", "float32", "TF32", "bf16", "bf16, compiled"


def on_cpu() -> list[Result]:
    """Return ratios to the reference, each from the best of the rounds."""
    torch.set_num_threads(THREADS)
    reference, model = networks("cpu")
    cases = cpu_cases(reference, model)
    seconds = best(cases, ROUNDS)
    rate = flops(cases["mix"]) / seconds["mix"] / (2 * SQUARE**3 / seconds["matmul"])
    results = ratios(seconds)
    share = "float32 step on the mix, share of the machine's own matmul rate"
    results.append(Result(share, rate, "", 0.5, "≥"))
    results.append(
        Result("float32 step on the mix", seconds["mix"], "s", seconds["reference, mix"])
    )
    each = seconds["evaluation"] / VIEWED
    bound = seconds["reference, evaluation"]
    results.append(Result("evaluation of a sample, 10 clips", each, "s", bound))
    return results


def cpu_cases(reference: ProtoGCN, model: ProtoGCN) -> dict[str, Work]:
    """Return what is timed, by name."""
    plain, factor = nullcontext(), torch.randn(SQUARE, SQUARE)
    return {
        "matmul": lambda: factor @ factor,
        "reference, two": training(reference, "cpu", TWO, plain),
        "reference, mix": training(reference, "cpu", MIX, plain),
        "two": training(model, "cpu", TWO, plain),
        "mix": training(model, "cpu", MIX, plain),
        "bf16 mix": training(model, "cpu", MIX, bf16("cpu")),
        "reference, evaluation": evaluation(reference, "cpu", prototypes=True),
        "evaluation": evaluation(model, "cpu"),
    }


def ratios(seconds: Mapping[str, float]) -> list[Result]:
    """Return how many times as fast as the reference each case is."""
    step = f"training step, batch {BATCH}, {THREADS} CPU threads"
    rows = [
        (f"{step}, float32, two persons", "reference, two", "two", 1.4),
        (f"{step}, float32, NTU60's mix", "reference, mix", "mix", 2.1),
        (f"{step}, bf16, NTU60's mix", "reference, mix", "bf16 mix", 3),
        ("evaluation, 10 clips, NTU60's mix", "reference, evaluation", "evaluation", 2.5),
    ]
    return [
        Result(name, seconds[slow] / seconds[fast], "×", target, "≥")
        for name, slow, fast, target in rows
    ]


def on_cuda() -> list[Result]:
    """Return samples/s and peak memory of each kind; unmeasured without CUDA."""
    found: list[Result] = []
    reference = None
    for kind in CUDA_KINDS:
        rate, peak = cuda_case(kind) if torch.cuda.is_available() else (math.nan, math.nan)
        reference = reference or (rate, peak)
        found.append(Result(f"GPU, {kind}, NTU60's mix: samples/s", rate, "/s", reference[0], "≥"))
        found.append(Result(f"GPU, {kind}, NTU60's mix: peak memory", peak, "GiB", reference[1]))
    return found


def cuda_case(kind: str) -> tuple[float, float]:
    """Return (samples/s, GiB) of one of CUDA_KINDS."""
    reference, model = networks("cuda")
    chosen = reference if kind.startswith("reference") else model
    if "compiled" in kind:
        model.backbone.compile_blocks()
    del reference, model
    torch.backends.cuda.matmul.allow_tf32 = kind == "TF32"
    torch.backends.cudnn.allow_tf32 = kind == "TF32"
    return cuda_rate(
        training(chosen, "cuda", MIX, bf16("cuda") if "bf16" in kind else nullcontext())
    )


def cuda_rate(work: Work, steps: int = 20) -> tuple[float, float]:
    """Return (samples/s, GiB) after three steps to warm up."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    for _ in range(steps):
        work()
    torch.cuda.synchronize()
    return steps * BATCH / (time.perf_counter() - begin), torch.cuda.max_memory_allocated() / 2**30


def best(cases: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the shortest time (s) of each; every round runs all of them once."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            begin = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - begin)
    return {name: min(times) for name, times in taken.items()}


def flops(work: Work) -> int:
    """Count those of products and convolutions, two for a multiplication with its addition."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
