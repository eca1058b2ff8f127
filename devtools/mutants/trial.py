"""This module runs unit tests on a mutant, in a forked process that imports it from memory.

No file is changed. The parent process has imported pytest and every library that the tests need,
but none of our packages, so that a trial costs little more than the tests themselves.
"""

import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import CodeType

import hypothesis
import pytest

from devtools import ROOT
from devtools.mutants.mutations import Mutant

#: A trial that takes this many times as long as the unchanged code, and the spare time, is an
#: endless loop. It is CPU time, so that a busy machine kills no mutant.
SLOWDOWN = 5
SPARE_S = 10.0
#: A trial that waits for something is ended after this many times its CPU time.
WALL_TIME = 10
_OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")} | {"tests", "conftest"}
_PROFILE = "mutants"
#: The rooms' tests need no fixture of a conftest, and each trial would import them all again.
_OPTIONS = (
    *("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--assert=plain", "--noconftest"),
    f"--hypothesis-profile={_PROFILE}",
)

hypothesis.settings.register_profile(
    _PROFILE,
    max_examples=25,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)


class Outcome(StrEnum):
    """The result of a trial."""

    KILLED = "killed"
    SURVIVED = "survived"


class BaselineFailed(Exception):
    """The tests fail on the unchanged code, or there are none; the message has the command."""


@dataclass(frozen=True)
class _Trial:
    mutant: Mutant
    pid: int
    give_up_at: float


class _Mutated(importlib.machinery.SourceFileLoader):
    """Loads one module from a text in place of its file."""

    def __init__(self, name: str, mutant: Mutant) -> None:
        super().__init__(name, str(ROOT / mutant.file))
        self._text = mutant.source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._name = ".".join(mutant.file.with_suffix("").parts)
        self._loader = _Mutated(self._name, mutant)

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, loader=self._loader)


def baseline_s(tests: Sequence[str]) -> float:
    """Return how long the tests take (s) on the unchanged code, and import what they import.

    Raises BaselineFailed.
    """
    with tempfile.NamedTemporaryFile() as file:
        _finish(_fork(lambda: _run_and_list_modules(tests, Path(file.name))))
        _import_all(json.loads(Path(file.name).read_text() or "[]"))
    began = time.monotonic()
    code = _finish(_fork(lambda: _run(tests)))
    if code != 0:
        raise BaselineFailed(f"pytest {' '.join(tests)} ends with exit code {code}.")
    return time.monotonic() - began


def outcomes(
    mutants: Sequence[Mutant], tests: Sequence[str], baseline_s: float, jobs: int
) -> Iterator[tuple[Mutant, Outcome]]:
    """Yield each mutant with its outcome, `jobs` of them at a time."""
    waiting = list(reversed(mutants))
    running: list[_Trial] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_start(waiting.pop(), tests, SLOWDOWN * baseline_s + SPARE_S))
        time.sleep(0.005)
        for trial in list(running):
            if (outcome := _outcome(trial)) is not None:
                running.remove(trial)
                yield trial.mutant, outcome


def _start(mutant: Mutant, tests: Sequence[str], limit_s: float) -> _Trial:
    def run() -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s)))
        sys.meta_path.insert(0, _Finder(mutant))
        return _run(tests)

    return _Trial(mutant, _fork(run), time.monotonic() + WALL_TIME * limit_s)


def _outcome(trial: _Trial) -> Outcome | None:
    pid, status = os.waitpid(trial.pid, os.WNOHANG)
    if pid:
        return Outcome.SURVIVED if status == 0 else Outcome.KILLED
    if time.monotonic() < trial.give_up_at:
        return None
    os.killpg(trial.pid, signal.SIGKILL)
    os.waitpid(trial.pid, 0)
    return Outcome.KILLED


def _fork(run: Callable[[], int]) -> int:
    """Return the id of a new process that does `run`, in a session of its own and silently."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = run()
    finally:
        os._exit(code)


def _finish(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _run(tests: Sequence[str]) -> int:
    gc.freeze()  # what the parent has imported is not looked through again in every trial
    return int(pytest.main([*_OPTIONS, *tests]))


def _run_and_list_modules(tests: Sequence[str], file: Path) -> int:
    code = _run(tests)
    file.write_text(json.dumps([name for name in sys.modules if not _is_ours(name)]))
    return code


def _import_all(names: Sequence[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:  # made up at run time by a library
            pass


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in _OURS
