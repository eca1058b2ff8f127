"""This module makes processes end together with the process that started them."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> Callable[[], None]:
    """Return a function that a child calls so that the kernel kills it when `parent` ends.

    A child that outlived its parent would keep the GPU and the lock of the run folder for ever.
    """

    def ask_kernel() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the call
            os._exit(1)

    return ask_kernel
