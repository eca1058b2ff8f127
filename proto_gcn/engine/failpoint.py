"""Named points between two writes where a test can make the process die, fail or wait (`FAILPOINT=<name>:<action>`)."""

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
    """What the action `raise` raises."""


def check(environment: Mapping[str, str]) -> None:
    """Refuses a failpoint outside tests and a name or action that does not exist; raises ConfigError."""
    wanted = environment.get("FAILPOINT", "")
    if not wanted:
        return
    name, action, *_ = [*wanted.split(":"), ""]
    if environment.get("GPUQ_TESTING") != "1":
        raise ConfigError(
            "FAILPOINT is set, and works only in tests; unset it (or set GPUQ_TESTING=1 in a test)"
        )
    if name not in NAMES or action not in ACTIONS:
        raise ConfigError(
            f"FAILPOINT={wanted} is none of {', '.join(NAMES)} with :kill, :raise or :sleep[:seconds]"
        )


def reach(name: str) -> None:
    """Does what FAILPOINT asks for at this point; nothing outside tests."""
    wanted, _, rest = os.environ.get("FAILPOINT", "").partition(":")
    if wanted != name or os.environ.get("GPUQ_TESTING") != "1":
        return
    action, _, seconds = rest.partition(":")
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "raise":
        raise FailpointError(f"failpoint {name}")
    time.sleep(float(seconds or 3600))
