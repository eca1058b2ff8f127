"""The parent of one training on one machine: `python -m scheduler.engines.local.runner FOLDER`.

It outlives the scheduler, so that a training goes on and is found again, and ends with the lifeline (a pipe whose other
end `gpuq up` holds). Everything it says stands in FOLDER, each file written whole:

launch.json   what to run (written by local.py before the runner exists)
lock          held by the runner and by everything that it starts: free = nothing of this workflow runs
started.json  the training was about to be started; it is never started a second time
stop          somebody wants it to end
exit.json     how it ended; the runner's last write

Only the standard library, so that it starts at once.
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
_PR_SET_PDEATHSIG = 1


def main(folder: Path) -> None:
    """Run what launch.json says, once, and write down how it ended."""
    check_failpoints()
    lock = _take_lock(folder / "lock")
    if lock is None or (folder / "started.json").exists():
        return  # another runner is at it, or was
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
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _take_lock(path: Path) -> int | None:
    """The lock's descriptor, or None where another runner holds it (local.py, which only looks, lets go at once)."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    for _ in range(20):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            time.sleep(0.05)
    return None


def _run(folder: Path, launch: dict[str, Any], lock: int, terminated: list[int]) -> dict[str, Any]:
    with (folder / "output.log").open("ab") as output:
        try:
            child = subprocess.Popen(
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
        except OSError as error:
            return {
                "exit_code": 127,
                "ended_by": "itself",
                "message": f"{launch['argv'][0]}: {error.strerror}",
            }
    ended_by = _wait(folder, child, launch, terminated)
    _signal_group(child, signal.SIGKILL)  # what the training left behind
    code = child.wait()
    return {"exit_code": code if code >= 0 else 128 - code, "ended_by": ended_by, "message": ""}


def _wait(
    folder: Path, child: subprocess.Popen[bytes], launch: dict[str, Any], terminated: list[int]
) -> str:
    """Until the child has ended; returns who ended it."""
    time_limit_s = launch["time_limit_s"]
    deadline = time.monotonic() + time_limit_s if time_limit_s else float("inf")
    watched = [os.pidfd_open(child.pid), *_lifeline()]
    ended_by, kill_at = "itself", float("inf")
    while child.poll() is None:
        readable, _, _ = select.select(watched, [], [], STOP_POLL_S)
        if ended_by == "itself":
            ended_by = _reason_to_end(
                folder, watched[1:], readable, time.monotonic() > deadline, terminated
            )
            if ended_by != "itself":
                child.terminate()  # the training alone: it ends its own workers when its checkpoint is written
                kill_at = time.monotonic() + launch["grace_s"]
                del watched[1:]
        elif time.monotonic() > kill_at:
            _signal_group(child, signal.SIGKILL)
    return ended_by


def _reason_to_end(
    folder: Path, lifeline: list[int], readable: list[int], too_long: bool, terminated: list[int]
) -> str:
    if (folder / "stop").exists():
        return "stop"
    if too_long:
        return "time_limit"
    return "shutdown" if terminated or set(lifeline) & set(readable) else "itself"


def _lifeline() -> list[int]:
    """The read end of the pipe that ties us to `gpuq up`; nothing is ever written, so readable means closed."""
    number = os.environ.get("LIFELINE_FD")
    return [int(number)] if number else []


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        pass  # nothing is left of it


def _die_with(runner: int) -> Callable[[], None]:
    """In the child, before exec: if the runner is killed, so is the training; two of a job never run side by side."""

    def ask() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != runner:  # it was killed in between
            os._exit(1)

    return ask


if __name__ == "__main__":
    main(Path(sys.argv[1]))
