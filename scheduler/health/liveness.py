"""Liveness of the scheduler's loop: a file that it touches, and a command that checks its age.

`python -m scheduler.health.liveness` is that command: the probe of the deployment and the image.

Halted, standing by or backing off it is alive all the same: another start would mend none of that.
"""

import os
import sys
import time
from pathlib import Path

from jobqueue.service.log import get_logger

log = get_logger(__name__)

#: A file that is older stands for a loop that hangs (s).
MAX_AGE_S = 60


class Heartbeat:
    """Touches its file; with None it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._trouble = path, ""

    def beat(self) -> None:
        """Never raises: a full disk must not end the loop."""
        if self._path is None:
            return
        try:
            self._path.touch()
            trouble = ""
        except OSError as error:
            trouble = str(error.strerror)
        if trouble and trouble != self._trouble:
            log.error(
                "HEARTBEAT_FILE cannot be touched; whoever looks at it will restart me.",
                error=trouble,
            )
        self._trouble = trouble


def trouble(path: Path, now: float) -> str:
    """Why the scheduler counts as not alive; '' where it is."""
    try:
        age = now - path.stat().st_mtime
    except OSError as error:
        return f"The scheduler's heartbeat file {path} cannot be looked at ({error.strerror})."
    return (
        f"The scheduler's last heartbeat is {age:.0f} s old (limit: {MAX_AGE_S} s)."
        if age > MAX_AGE_S
        else ""
    )


def main() -> None:
    """Exit 0 where the scheduler is alive, else 1 with a sentence."""
    path = os.environ.get("HEARTBEAT_FILE")
    said = (
        trouble(Path(path), time.time())
        if path
        else "HEARTBEAT_FILE is not set; set it to the scheduler's."
    )
    if said:
        print(said, file=sys.stderr)
    sys.exit(1 if said else 0)


if __name__ == "__main__":
    main()
