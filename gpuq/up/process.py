"""Processes that never outlive us, and whatever they leave behind.

Each child gets SIGTERM from the kernel when we die, however we die. We are the subreaper of all of them: what a service
leaves behind (a training's runner, when the scheduler ends) becomes our child and not init's, so that we can wait for
it, and nothing that we did not start is ever looked at.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: The kernel ends what was killed at once, except what hangs in a driver: nothing can be done about that one.
KILLED_S = 5.0
_POLL_S = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


class Lifeline:
    """A pipe of which we alone hold the writing end: when it closes, whoever watches the other end stops."""

    def __init__(self) -> None:
        self.watched, held = os.pipe()
        self._held: int | None = held

    def cut(self) -> None:
        if self._held is not None:
            os.close(self._held)
        self._held = None


def become_subreaper() -> None:
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def spawn(
    argv: Sequence[str], env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own (the terminal's Ctrl-C is for us alone), its words going to `log`.

    To be called from the main thread only: the kernel's signal comes when the *thread* that forked ends.
    """
    parent = os.getpid()

    def tie_to_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # we died between the fork and the line above

    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=env,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
            pass_fds=pass_fds,
            preexec_fn=tie_to_parent,
        )


def end(process: subprocess.Popen[bytes], patience_s: Callable[[], float]) -> None:
    """SIGTERM, and SIGKILL where it has not ended after that; `patience_s` may shrink while we wait."""
    if process.poll() is None:
        process.terminate()
    started = time.monotonic()
    while (
        process.poll() is None and (waited := time.monotonic() - started) < patience_s() + KILLED_S
    ):
        if waited > patience_s():
            process.kill()
        time.sleep(_POLL_S)


def reap_orphans(known: set[int]) -> None:
    """Take leave of ended children other than `known`, whose Popen does it."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, 0)


def children() -> list[int]:
    """The pids of our children that have not ended, those that we inherited among them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # gone by now
        if int(parent) == os.getpid() and state != "Z":
            found.append(int(stat.parent.name))
    return found


def end_orphans(patience_s: Callable[[], float], say: Callable[[str], None]) -> None:
    """Wait for the trainings' runners, whose lifeline is cut, and kill what has not ended after `patience_s`."""
    started, said = time.monotonic(), False
    while left := children():
        waited = time.monotonic() - started
        if waited > patience_s() + KILLED_S:
            say(f"The kernel does not let go of pid {', '.join(map(str, left))}; leaving it.")
            return
        if waited > patience_s():
            for pid in left:
                os.kill(
                    pid, signal.SIGKILL
                )  # no race: a child's pid stays its own until we reap it
        elif waited > 0.5 and not said:
            said = True
            say(
                f"Waiting up to {patience_s():.0f} s for the running training to write its checkpoint "
                "(Ctrl-C again: no longer)."
            )
        time.sleep(_POLL_S)
        reap_orphans(set())
    reap_orphans(set())
