"""What every request is answered with: the settings, the store, the clock, what was read of late, the places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from jobqueue.store.client import Store
from queue_manager.files.tail import Places
from queue_manager.forecast.wait import Outlook
from queue_manager.settings import QueueManagerSettings
from queue_manager.submission.config_check import Schema

EXTENSION = "gpuq"


@dataclass(frozen=True)
class Services:
    settings: QueueManagerSettings
    store: Store
    clock: Callable[[], float]  #: seconds since the epoch
    places: Places  #: for those who follow or wait
    pause: Callable[[float], None]  #: (s)
    outlook: Callable[[], Outlook]  #: this and what follows: see recent.py
    template_names: Callable[[], Sequence[str]]
    schema: Callable[[str], Schema | None]  #: of the template of this name


def services() -> Services:
    """Those of the application that answers the present request."""
    return cast(Services, current_app.extensions[EXTENSION])
