"""Mutate the pure rooms and report which mutants survive: `python -m devtools.mutants [ROOM …]`.

The exit code is 1 if a mutant survives that is not listed as equivalent, or if an entry of that
list is out of date.
"""

import argparse
import os
import sys
from collections import Counter

from devtools import ROOT
from devtools.mutants import equivalent
from devtools.mutants.mutations import Mutant, mutants
from devtools.mutants.rooms import ROOMS
from devtools.mutants.trial import BaselineFailed, Outcome, baseline_s, outcomes

EQUIVALENT = "equivalent"


def main() -> int:
    arguments = _arguments()
    listed = equivalent.load()
    counts: dict[str, Counter[str]] = {}
    survivors: list[Mutant] = []
    used: set[equivalent.Key] = set()
    try:
        for name in arguments.rooms or ROOMS:
            for mutant, outcome in _try_room(name, arguments.jobs):
                if outcome is Outcome.SURVIVED and mutant.key in listed:
                    used.add(mutant.key)
                    outcome = EQUIVALENT
                elif outcome is Outcome.SURVIVED:
                    survivors.append(mutant)
                counts.setdefault(str(mutant.file), Counter())[outcome] += 1
    except BaselineFailed as error:
        print(error, file=sys.stderr)
        return 1
    stale = {key for key in listed - used if key[0] in counts}
    _report(counts, survivors, stale)
    return 1 if survivors or stale else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    arguments = parser.parse_args()
    if unknown := set(arguments.rooms) - set(ROOMS):
        parser.error(f"There is no room {', '.join(unknown)}; the rooms are {', '.join(ROOMS)}.")
    return arguments


def _try_room(name: str, jobs: int) -> list[tuple[Mutant, str]]:
    room = ROOMS[name]
    took_s = baseline_s(room.tests)
    made = [m for file in room.files for m in mutants(file, (ROOT / file).read_text("utf-8"))]
    print(f"{name}: {len(made)} mutants; the tests take {took_s:.1f} s.", flush=True)
    results: list[tuple[Mutant, str]] = []
    for result in outcomes(made, room.tests, took_s, jobs):
        results.append(result)
        if len(results) % 50 == 0:
            print(f"  {len(results)} of {len(made)}", flush=True)
    return results


def _report(
    counts: dict[str, Counter[str]], survivors: list[Mutant], stale: set[equivalent.Key]
) -> None:
    for mutant in sorted(survivors, key=lambda mutant: (mutant.file, mutant.line)):
        print(f"\nSurvived: {mutant.file}:{mutant.line}\n{equivalent.entry(mutant)}", end="")
    for file, where, before, after in sorted(stale):
        print(f"\nListed as equivalent, but killed or gone: {file} {where}: {before} → {after}")
    print("\n| file | mutants | killed | equivalent | survived |\n|---|---|---|---|---|")
    for file, count in sorted(counts.items()):
        numbers = (count.total(), count["killed"], count[EQUIVALENT], count["survived"])
        print(f"| `{file}` | {' | '.join(map(str, numbers))} |")


if __name__ == "__main__":
    sys.exit(main())
