"""The API of the queue: `create_app(settings, store)`; `python -m queue_manager` serves it."""

from queue_manager.app import create_app

__all__ = ["create_app"]
