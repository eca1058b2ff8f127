"""Run benchmarks, print a line each, write results.json and docs/performance.md.

The command is `python -m benchmarks [name …]`.
"""

import importlib
import sys

from benchmarks.result import save

ALL = (
    *("handover", "submit", "status", "cycle", "monitor", "followers"),
    *("argo_handover", "api_calls", "memory"),
)


def main(names: list[str]) -> None:
    results = []
    for name in names or ALL:
        for result in importlib.import_module(f"benchmarks.{name}").run():
            target = (
                f"target {result.bound} {result.target:g}, {'holds' if result.holds else 'MISSED'}"
            )
            print(f"{result.name}: {result.value:.3f} {result.unit} ({target})", flush=True)
            results.append(result)
    if not names:
        save(results)


if __name__ == "__main__":
    main(sys.argv[1:])
