"""Named points between two writes where a test can make the process die, fail or wait.

A test sets `FAILPOINT=<name>:<action>`.
"""

import os
import signal
import time
from collections.abc import Mapping

from proto_gcn.errors import ConfigError

NAMES = (
    "trainer.config.written",
    "trainer.checkpoint.written",
    "trainer.checkpoint.replaced",
    "trainer.best.saved",
    "trainer.latest.saved",
    "trainer.epoch.reported",
    "trainer.result.before",
    "trainer.result.after",
)
ACTIONS = ("kill", "raise", "sleep")


class FailpointError(RuntimeError):
    """The action `raise` raises this."""


def check(environment: Mapping[str, str]) -> None:
    """Raise ConfigError for a failpoint outside tests, or for an unknown name or action."""
    wanted = environment.get("FAILPOINT", "")
    if not wanted:
        return
    name, action, *_ = [*wanted.split(":"), ""]
    if environment.get("GPUQ_TESTING") != "1":
        raise ConfigError("FAILPOINT works only in tests; unset it (tests set GPUQ_TESTING=1)")
    if name not in NAMES or action not in ACTIONS:
        raise ConfigError(
            f"FAILPOINT is {wanted} and must be one of {', '.join(NAMES)} "
            "with :kill, :raise or :sleep[:seconds]"
        )


def reach(name: str) -> None:
    """Do what FAILPOINT asks for at this point; does nothing outside tests."""
    wanted, _, rest = os.environ.get("FAILPOINT", "").partition(":")
    if wanted != name or os.environ.get("GPUQ_TESTING") != "1":
        return
    action, _, seconds = rest.partition(":")
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise FailpointError(f"failpoint {name}")
    time.sleep(float(seconds or 3600))
