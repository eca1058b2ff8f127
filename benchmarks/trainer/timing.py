"""Seconds of each case, interleaved in one process: a busy neighbour slows all of them."""

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

ROUNDS, THREADS, SQUARE = 5, 2, 2048
CUDA_KINDS = "reference, float32", "float32", "TF32", "bf16", "bf16, compiled"


def on_cpu() -> list[Result]:
    """Ratios to the reference, best of the rounds each."""
    torch.set_num_threads(THREADS)
    reference, model = networks("cpu")
    plain = nullcontext()
    mix = training(model, "cpu", MIX, plain)
    factor = torch.randn(SQUARE, SQUARE)
    seconds = best(
        {
            "matmul": lambda: factor @ factor,
            "reference, two": training(reference, "cpu", TWO, plain),
            "reference, mix": training(reference, "cpu", MIX, plain),
            "two": training(model, "cpu", TWO, plain),
            "mix": mix,
            "bf16 mix": training(model, "cpu", MIX, bf16("cpu")),
            "reference, evaluation": evaluation(reference, "cpu"),
            "evaluation": evaluation(model, "cpu"),
        },
        ROUNDS,
    )
    rate = flops(mix) / seconds["mix"] / (2 * SQUARE**3 / seconds["matmul"])
    step = f"training step, batch {BATCH}, {THREADS} CPU threads"
    return [
        Result(
            f"{step}, float32, two persons",
            seconds["reference, two"] / seconds["two"],
            "×",
            1.4,
            "≥",
        ),
        Result(
            f"{step}, float32, NTU60's mix",
            seconds["reference, mix"] / seconds["mix"],
            "×",
            2.1,
            "≥",
        ),
        Result(
            f"{step}, bf16, NTU60's mix",
            seconds["reference, mix"] / seconds["bf16 mix"],
            "×",
            3,
            "≥",
        ),
        Result(
            "evaluation, 10 clips, NTU60's mix",
            seconds["reference, evaluation"] / seconds["evaluation"],
            "×",
            2.5,
            "≥",
        ),
        Result(
            "float32 step on the mix, share of the machine's own matmul rate", rate, "", 0.5, "≥"
        ),
        Result("float32 step on the mix", seconds["mix"], "s", seconds["reference, mix"]),
        Result(
            "evaluation of a sample, 10 clips",
            seconds["evaluation"] / VIEWED,
            "s",
            seconds["reference, evaluation"],
        ),
    ]


def on_cuda() -> list[Result]:
    """Samples/s and peak memory of each kind of arithmetic, and the reference; unmeasured without CUDA."""
    found: list[Result] = []
    reference = None
    for kind in CUDA_KINDS:
        rate, peak = cuda_case(kind) if torch.cuda.is_available() else (math.nan, math.nan)
        reference = reference or (rate, peak)
        found.append(Result(f"GPU, {kind}, NTU60's mix: samples/s", rate, "/s", reference[0], "≥"))
        found.append(Result(f"GPU, {kind}, NTU60's mix: peak memory", peak, "GiB", reference[1]))
    return found


def cuda_case(kind: str) -> tuple[float, float]:
    """(samples/s, GiB) of one of CUDA_KINDS."""
    reference, model = networks("cuda")
    chosen = reference if kind.startswith("reference") else model
    if "compiled" in kind:
        model.backbone.compile_blocks()
    del reference, model
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = kind == "TF32"
    return cuda_rate(
        training(chosen, "cuda", MIX, bf16("cuda") if "bf16" in kind else nullcontext())
    )


def cuda_rate(work: Work, steps: int = 20) -> tuple[float, float]:
    """(samples/s, GiB) after three steps to warm up."""
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
    """The shortest time (s) of each, all of them once per round."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, work in cases.items():
            begin = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - begin)
    return {name: min(times) for name, times in taken.items()}


def flops(work: Work) -> int:
    """Of the matrix products and convolutions, two for a multiplication with its addition."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
