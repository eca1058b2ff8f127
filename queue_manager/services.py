"""What every request is answered with: the settings, the store, the clock and the followers' places."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app

from jobqueue.store import Store
from queue_manager.follow import Places
from queue_manager.settings import QueueManagerSettings

EXTENSION = "gpuq"


@dataclass(frozen=True)
class Services:
    settings: QueueManagerSettings
    store: Store
    clock: Callable[[], float]  #: seconds since the epoch
    places: Places  #: for followers


def services() -> Services:
    """Those of the application that answers the present request."""
    return cast(Services, current_app.extensions[EXTENSION])
