"""This module shows that the loop is alive: it touches a file, and a command checks its age.

`python -m scheduler.health.liveness` is that command, the probe of the deployment and of the image.
A scheduler that is halted, stands by or backs off is alive: a restart would fix none of that.
"""

import os
import sys
import time
from pathlib import Path

from jobqueue.service.log import get_logger

log = get_logger(__name__)

#: An older file means that the loop hangs (s).
MAX_AGE_S = 60


class LivenessFile:
    """The file shows that the loop runs; without a path nothing is done."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._logged = ""

    def touch(self) -> None:
        """Touch the file. Never raises: a full disk must not end the loop."""
        if self._path is None:
            return
        try:
            self._path.touch()
            problem = ""
        except OSError as error:
            problem = str(error.strerror)
        if problem and problem != self._logged:
            text = "Cannot update HEARTBEAT_FILE; the liveness probe will restart the scheduler."
            log.error(text, error=problem)
        self._logged = problem


def why_dead(path: Path, now: float) -> str:
    """Return why the scheduler counts as dead; empty if it is alive."""
    try:
        age = now - path.stat().st_mtime
    except OSError as error:
        return f"The scheduler's heartbeat file {path} cannot be read ({error.strerror})."
    if age <= MAX_AGE_S:
        return ""
    return f"The scheduler's last heartbeat is {age:.0f} s old (limit: {MAX_AGE_S} s)."


def main() -> None:
    """Exit with 0 if the scheduler is alive, else with 1 and a sentence."""
    path = os.environ.get("HEARTBEAT_FILE")
    unset = "HEARTBEAT_FILE is not set; set it to the scheduler's."
    problem = why_dead(Path(path), time.time()) if path else unset
    if problem:
        print(problem, file=sys.stderr)
    sys.exit(1 if problem else 0)


if __name__ == "__main__":
    main()
