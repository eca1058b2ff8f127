"""Child processes that never outlive us, and the orphans that they leave behind.

The kernel sends each child SIGTERM when we die, however we die. We are the subreaper of all of
them: what a service leaves behind (a training's runner, when the scheduler ends) becomes our child
and not init's, so that we can wait for it. Processes that we did not start are never touched.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

#: From linux/prctl.h.
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: A killed process ends at once, unless it hangs in a driver; then nothing can end it.
KILLED_S = 5.0
_POLL_S = 0.02
_libc = ctypes.CDLL(None, use_errno=True)


class Lifeline:
    """A pipe whose writing end only we hold; who watches the other end stops when it closes."""

    def __init__(self) -> None:
        self.watched, held = os.pipe()
        self._held: int | None = held

    def cut(self) -> None:
        """Close the writing end."""
        if self._held is not None:
            os.close(self._held)
        self._held = None


def become_subreaper() -> None:
    """Make orphaned descendants our children."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def spawn(
    argv: Sequence[str], env: Mapping[str, str], log: Path, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a child that writes its output to `log`.

    It is in a process group of its own, so that the terminal's Ctrl-C reaches only us. Call this
    from the main thread only: the kernel's signal is sent when the *thread* that forked ends.
    """
    parent = os.getpid()

    def tie_to_parent() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # the parent died between the fork and the line above

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
    """Send SIGTERM, and after `patience_s` SIGKILL; `patience_s` may shrink during the wait."""
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
    """Reap ended children other than `known`, whose Popen reaps them."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in known:
            return
        os.waitpid(ended.si_pid, 0)


def children() -> list[int]:
    """Return the pids of our children that have not ended, inherited ones included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended
        if int(parent) == os.getpid() and state != "Z":
            found.append(int(stat.parent.name))
    return found


def end_orphans(patience_s: Callable[[], float], say: Callable[[str], None]) -> None:
    """Wait for the trainings' runners, whose lifeline is cut, and kill those left at the end."""
    started, has_said = time.monotonic(), False
    while left := children():
        waited = time.monotonic() - started
        if waited > patience_s() + KILLED_S:
            say(f"Cannot end pid {', '.join(map(str, left))}; the kernel does not release it.")
            return
        if waited > patience_s():
            _kill(left)
        elif waited > 0.5 and not has_said:
            has_said = True
            say(
                f"Waiting up to {patience_s():.0f} s for running trainings to save a checkpoint "
                "(press Ctrl-C again to stop at once)."
            )
        time.sleep(_POLL_S)
        reap_orphans(set())
    reap_orphans(set())


def _kill(pids: Sequence[int]) -> None:
    """Kill our children; without a race, because a child keeps its pid until we reap it."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
