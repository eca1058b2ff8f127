"""Everything that a request needs to be answered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from flask import current_app

from jobqueue.store.client import Store
from queue_manager.files.tail import FollowerLimit
from queue_manager.forecast.wait import Outlook
from queue_manager.settings import QueueManagerSettings
from queue_manager.submission.config_check import Schema

EXTENSION = "gpuq"


@dataclass(frozen=True)
class Services:
    """The application's services; `outlook`, `template_names` and `schema` are cached."""

    settings: QueueManagerSettings
    store: Store
    clock: Callable[[], float]  #: epoch seconds
    followers: FollowerLimit
    pause: Callable[[float], None]  #: takes seconds
    outlook: Callable[[], Outlook]
    template_names: Callable[[], Sequence[str]]
    schema: Callable[[str], Schema | None]  #: of the template of this name


def services() -> Services:
    """Return the services of the application that answers the present request."""
    return cast(Services, current_app.extensions[EXTENSION])
