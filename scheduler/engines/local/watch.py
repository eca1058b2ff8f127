"""Notice that a workflow started or ended, by the files that its runner writes."""

import threading
from collections.abc import Callable
from pathlib import Path

_PERIOD_S = 0.1
_MARKS = ("started.json", "exit.json")
_Mark = tuple[str, str]


def watch_folders(state: Path, on_change: Callable[[], None], stopping: threading.Event) -> None:
    """Call `on_change` when such a file appears, until `stopping`; a few `stat` calls each time."""
    known = _marks(state, frozenset())
    while not stopping.wait(_PERIOD_S):
        marks = _marks(state, known)
        if marks - known:
            on_change()
        known = marks


def _marks(state: Path, known: frozenset[_Mark]) -> frozenset[_Mark]:
    """Return (workflow, file) for each of these files; one that has ended is not checked again."""
    try:
        names = [path.name for path in state.iterdir() if not path.name.startswith(".")]
    except OSError:
        return frozenset()
    ended = [name for name in names if (name, "exit.json") in known]
    marks = {(name, mark) for name in ended for mark in _MARKS}
    for name in set(names) - set(ended):
        marks |= {(name, mark) for mark in _MARKS if (state / name / mark).exists()}
    return frozenset(marks)
