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
    results: list[tuple[Mutant, Outcome]] = []
    problems: list[str] = []
    for name in arguments.rooms or ROOMS:
        try:
            results += _try_room(name, arguments.jobs)
        except BaselineFailed as error:
            problems.append(f"{name} was not tried: {error}")
    survivors = [mutant for mutant, outcome in results if outcome is Outcome.SURVIVED]
    problems += [_survived(mutant) for mutant in survivors if mutant.key not in listed]
    tried = {str(mutant.file) for mutant, _ in results}
    stale = {key for key in listed if key[0] in tried} - {mutant.key for mutant in survivors}
    problems += [f"Listed as equivalent, but killed or gone: {key}" for key in sorted(stale)]
    print("\n\n".join(problems))
    _print_table(results, listed)
    return 1 if problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at a time")
    arguments = parser.parse_args()
    if unknown := set(arguments.rooms) - set(ROOMS):
        parser.error(f"There is no room {', '.join(unknown)}; the rooms are {', '.join(ROOMS)}.")
    return arguments


def _try_room(name: str, jobs: int) -> list[tuple[Mutant, Outcome]]:
    room = ROOMS[name]
    took_s = baseline_s(room.tests)
    made = [m for file in room.files for m in mutants(file, (ROOT / file).read_text("utf-8"))]
    print(f"{name}: {len(made)} mutants; the tests take {took_s:.1f} s.", flush=True)
    results: list[tuple[Mutant, Outcome]] = []
    for result in outcomes(made, room.tests, took_s, jobs):
        results.append(result)
        if len(results) % 50 == 0:
            print(f"  {len(results)} of {len(made)}", flush=True)
    return results


def _survived(mutant: Mutant) -> str:
    return f"Survived: {mutant.file}:{mutant.line}\n{equivalent.entry(mutant).rstrip()}"


def _print_table(results: list[tuple[Mutant, Outcome]], listed: set[equivalent.Key]) -> None:
    counts: dict[str, Counter[str]] = {}
    for mutant, outcome in results:
        is_equivalent = outcome is Outcome.SURVIVED and mutant.key in listed
        counts.setdefault(str(mutant.file), Counter())[
            EQUIVALENT if is_equivalent else outcome
        ] += 1
    print("\n| file | mutants | killed | equivalent | survived |\n|---|---|---|---|---|")
    for file, count in sorted(counts.items()):
        numbers = (count.total(), *(count[name] for name in ("killed", EQUIVALENT, "survived")))
        print(f"| `{file}` | {' | '.join(map(str, numbers))} |")


if __name__ == "__main__":
    sys.exit(main())
