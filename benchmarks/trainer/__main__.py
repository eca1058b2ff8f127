"""Measure, print, write results.json and docs/performance.md: `python -m benchmarks.trainer`."""

from pathlib import Path

from benchmarks.result import save
from benchmarks.trainer.loading import rates
from benchmarks.trainer.memory import ratios
from benchmarks.trainer.timing import on_cpu, on_cuda

BEGIN, END = (
    "<!-- trainer results: made by `make bench-trainer`, do not edit -->\n",
    "<!-- end of trainer results -->\n",
)


def main() -> None:
    results = on_cpu() + rates() + ratios() + on_cuda()
    for result in results:
        target = f"target {result.bound} {result.target:g}"
        print(f"{result.name}: {result.value:.3f} {result.unit} ({target})", flush=True)
    save(results, Path(__file__).with_name("results.json"), BEGIN, END)


if __name__ == "__main__":
    main()
