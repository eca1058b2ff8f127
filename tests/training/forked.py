"""Trainings that start at once.

They are forked from a process that has imported everything and drawn no random number, and call
`run.main` as train.py does, but without the report, which takes longer than they do. A hook is
called in the new process before that, and may change anything there; an act is what a hook makes
happen later.
"""

import multiprocessing
import os
import pkgutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit
from types import SimpleNamespace
from typing import Any

from proto_gcn.engine import failpoint, run, trainer
from proto_gcn.engine.learner import Learner

Hook = Callable[[], None]
Act = Callable[[], None]
STEP = "proto_gcn.engine.learner.Learner.step"
SCORING = "proto_gcn.engine.trainer.score"
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload([__name__, "torch._dynamo"])  # the first step imports dynamo


def start(environment: Mapping[str, str], hooks: Sequence[Hook]) -> tuple[BaseProcess, Connection]:
    """Start a training with a pipe for its stdout and stderr (a file could be on a full disk)."""
    ours, theirs = _server.Pipe(duplex=False)
    process = _server.Process(target=_train, args=(dict(environment), theirs, hooks))
    process.start()
    theirs.close()
    return process, ours


def _train(environment: dict[str, str], output: Connection, hooks: Sequence[Hook]) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.environ |= environment
    for hook in hooks:
        hook()
    sys.exit(run.main())


def at_call(target: str, number: int, act: Act) -> None:
    """Hook: do the act before this process's n-th call of the target, counted from 1."""
    owner, _, name = target.rpartition(".")
    called, calls = pkgutil.resolve_name(target), 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            act()
        return called(*arguments, **named)

    setattr(pkgutil.resolve_name(owner), name, counted)


def at_point(name: str, number: int, act: Act) -> None:
    """Hook: do the act when this process reaches the failpoint for the n-th time."""
    times = 0

    def reach(reached: str) -> None:
        nonlocal times
        times += reached == name
        if reached == name and times == number:
            act()

    failpoint.reach = reach


def save_after_every_step() -> None:
    """Hook: save as if every step took ten minutes."""
    trainer.CHECKPOINT_EVERY_S = 0.0


def take(seconds: float) -> None:
    """Hook: measure time as if every step took so long."""
    called, steps = Learner.step, 0

    def counted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        return called(*arguments)

    Learner.step = counted  # type: ignore[method-assign]
    trainer.time = SimpleNamespace(monotonic=lambda: steps * seconds)  # type: ignore[assignment]


def limit_files(size: int, deadly: bool = False) -> None:
    """Hook or act: let no file grow beyond so many bytes.

    The rest of a write is refused, or kills the process.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    setrlimit(RLIMIT_FSIZE, (size, RLIM_INFINITY))


def fill(path: Path) -> None:
    """Act: leave room for ten bytes more in that file, or any larger one."""
    limit_files(path.stat().st_size + 10)


def die() -> None:
    """Act: end as if killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """Act: send SIGTERM to this process."""
    os.kill(os.getpid(), signal.SIGTERM)
