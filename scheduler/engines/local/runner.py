"""Run one job's process as its parent: `python -m scheduler.engines.local.runner FOLDER`.

It outlives the scheduler, which finds it again, and ends with the lifeline: a pipe whose other end
`gpuq up` holds. Its files are in FOLDER, each written whole:

launch.json   what to run (the engine writes it before the runner exists)
lock          held by the runner and by everything that it starts: free = nothing runs any more
started.json  the job was about to be started; it is never started a second time
stop          somebody wants it to end
exit.json     how it ended; the runner's last write

It uses only the standard library, so that it starts at once.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobqueue.failpoints import check_failpoints, failpoint

STOP_POLL_S = 0.2
_EXIT_NOT_FOUND = 127
_PR_SET_PDEATHSIG = 1


def main(folder: Path) -> None:
    """Run what launch.json describes, once, and write down how it ended."""
    check_failpoints()
    lock = _take_lock(folder / "lock")
    if lock is None or (folder / "started.json").exists():
        return  # another runner has it, or had it
    launch = json.loads((folder / "launch.json").read_text(encoding="utf-8"))
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: terminated.append(number))
    failpoint("runner.start.before")
    write_json(folder / "started.json", {"at": time.time(), "pid": os.getpid()})
    failpoint("runner.start.after")
    ended = {"exit_code": None, "ended_by": "stop", "message": ""}
    if not (folder / "stop").exists():
        ended = _run(folder, launch, lock, terminated)
    failpoint("runner.exit.before")
    write_json(folder / "exit.json", {**ended, "at": time.time()})
    failpoint("runner.exit.after")


def write_json(path: Path, content: Any) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _take_lock(path: Path) -> int | None:
    """Return the lock's descriptor; None if another runner holds it.

    It retries, because the engine takes the lock for a moment to test it.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    for _ in range(20):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(0.05)
    return None


def _run(folder: Path, launch: dict[str, Any], lock: int, terminated: list[int]) -> dict[str, Any]:
    try:
        child = _start(folder, launch, lock)
    except OSError as error:
        why = f"{launch['argv'][0]}: {error.strerror}"
        return {"exit_code": _EXIT_NOT_FOUND, "ended_by": "itself", "message": why}
    ended_by = _wait(folder, child, launch, terminated)
    _signal_group(child, signal.SIGKILL)  # what the job left behind
    code = child.wait()
    return {"exit_code": code if code >= 0 else 128 - code, "ended_by": ended_by, "message": ""}


def _start(folder: Path, launch: dict[str, Any], lock: int) -> "subprocess.Popen[bytes]":
    with (folder / "output.log").open("ab") as output:
        return subprocess.Popen(
            launch["argv"],
            cwd=launch["cwd"],
            env=launch["env"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
            preexec_fn=_die_with(os.getpid()),
        )


def _wait(
    folder: Path, child: "subprocess.Popen[bytes]", launch: dict[str, Any], terminated: list[int]
) -> str:
    """Wait until the child has ended; return who ended it."""
    time_limit_s = launch["time_limit_s"]
    deadline = time.monotonic() + time_limit_s if time_limit_s else float("inf")
    pidfd, lifeline = os.pidfd_open(child.pid), _lifeline()
    while child.poll() is None:
        readable, _, _ = select.select([pidfd, *lifeline], [], [], STOP_POLL_S)
        is_shutdown = bool(terminated or set(lifeline) & set(readable))
        ended_by = _why_end(folder, time.monotonic() > deadline, is_shutdown)
        if ended_by != "itself":
            _end(child, pidfd, launch["grace_s"])
            return ended_by
    return "itself"


def _end(child: "subprocess.Popen[bytes]", pidfd: int, grace_s: float) -> None:
    """Ask the job alone to end, which ends its workers; after the grace period kill its group."""
    child.terminate()
    kill_at = time.monotonic() + grace_s
    while child.poll() is None:
        select.select([pidfd], [], [], STOP_POLL_S)
        if time.monotonic() > kill_at:
            _signal_group(child, signal.SIGKILL)


def _why_end(folder: Path, is_too_long: bool, is_shutdown: bool) -> str:
    if (folder / "stop").exists():
        return "stop"
    if is_too_long:
        return "time_limit"
    return "shutdown" if is_shutdown else "itself"


def _lifeline() -> list[int]:
    """Return the read end of the pipe to `gpuq up`; nothing is ever written: readable = closed."""
    number = os.environ.get("LIFELINE_FD")
    return [int(number)] if number else []


def _signal_group(child: "subprocess.Popen[bytes]", number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass  # nothing of it is left


def _die_with(runner: int) -> Callable[[], None]:
    """Return what the child does before exec: if the runner is killed, the kernel kills the child.

    Two processes of one job never run side by side.
    """

    def ask_the_kernel() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != runner:  # it was killed in between
            os._exit(1)

    return ask_the_kernel


if __name__ == "__main__":
    main(Path(sys.argv[1]))
