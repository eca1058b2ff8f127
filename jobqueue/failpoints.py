"""This module has named points between any two writes of a process, where tests make it fail.

`FAILPOINT=<name>:kill|raise|sleep[:seconds][,…]` activates them. Without `GPUQ_TESTING=1`, a
service with FAILPOINT set refuses to start. With `FAILPOINT_ONCE=<file>` a point acts only while
the file does not exist, and creates it, so that a restarted process passes the point.
"""

import os
import signal
import time
from pathlib import Path

from jobqueue.errors import GpuqError

#: All points, by process; tests iterate over this list.
FAILPOINTS = (
    "queue_manager.enqueue.before",
    "queue_manager.enqueue.after",
    "queue_manager.cancel.before",
    "queue_manager.cancel.after",
    "queue_manager.retry.before",
    "queue_manager.retry.after",
    "scheduler.lead.after",
    "scheduler.observe.after",
    "scheduler.admit.before",
    "scheduler.admit.after",
    "scheduler.create.after",
    "scheduler.record.after",
    "scheduler.mark_running.after",
    "scheduler.stop.after",
    "scheduler.finish.before",
    "scheduler.finish.after",
    "scheduler.requeue.before",
    "scheduler.requeue.after",
    "scheduler.delete.after",
    "withdraw.marked",
    "withdraw.deleted",
    "rebuild.restored",
    "argo.create.configmap",
    "argo.create.workflow",
    "argo.create.owner",
    "local.create.written",
    "local.create.renamed",
    "local.create.spawned",
    "runner.start.before",
    "runner.start.after",
    "runner.exit.before",
    "runner.exit.after",
)


class FailpointRaised(GpuqError):
    """A failpoint that is set to `raise` was reached."""


def check_failpoints() -> None:
    """Refuse to start with FAILPOINT set outside tests, or with a name that does not exist."""
    if not os.environ.get("FAILPOINT"):
        return
    if os.environ.get("GPUQ_TESTING") != "1":
        raise SystemExit("FAILPOINT is for gpuq's own tests and is refused here; unset it.")
    unknown = set(_switched()) - set(FAILPOINTS)
    if unknown:
        raise SystemExit(
            f"FAILPOINT has unknown names ({', '.join(sorted(unknown))}); "
            "jobqueue/failpoints.py lists the known ones."
        )


def failpoint(name: str) -> None:
    """Do what FAILPOINT sets for this point; normally nothing."""
    if "FAILPOINT" not in os.environ or os.environ.get("GPUQ_TESTING") != "1":
        return
    action = _switched().get(name)
    if action is None or not _first_time():
        return
    verb, _, argument = action.partition(":")
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if verb == "sleep":
        time.sleep(float(argument or 1))
    if verb == "raise":
        raise FailpointRaised(f"failpoint {name}")


def _switched() -> dict[str, str]:
    points = (point.partition(":") for point in os.environ.get("FAILPOINT", "").split(",") if point)
    return {name: action for name, _, action in points if not name.startswith("trainer.")}


def _first_time() -> bool:
    marker = os.environ.get("FAILPOINT_ONCE")
    if not marker:
        return True
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
