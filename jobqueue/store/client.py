"""This module composes the store: all that the services read from Redis, and the API's writes.

Each part is a file of its own; the scheduler's writes are in `leader.py`, on top of `run`.
"""

from jobqueue.store.parts.access_tokens import AccessTokens
from jobqueue.store.parts.history import History
from jobqueue.store.parts.queue import Queue
from jobqueue.store.parts.readiness import Readiness
from jobqueue.store.parts.scheduler_state import SchedulerState
from jobqueue.store.parts.submissions import Caps, Enqueued, Submissions

__all__ = ["Caps", "Enqueued", "Store"]


class Store(Submissions, Queue, History, SchedulerState, AccessTokens, Readiness):
    """The queue in Redis. Every call raises StoreUnavailable if Redis cannot serve it."""
