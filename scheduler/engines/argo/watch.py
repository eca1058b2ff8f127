"""Watch the workflows. It is only a hint: a gap in it delays a job, but loses none."""

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from jobqueue.service.log import get_logger
from scheduler.engines.argo.errors import Api, CallFailed, NoAnswer, Refused, Stream
from scheduler.engines.argo.manifests import OPEN
from scheduler.engines.argo.status.fields import as_dict

log = get_logger(__name__)

#: The server ends a watch after this time, and sends a bookmark about once a minute (s).
WATCH_S = 1800
SILENCE_S = 150.0
#: After a watch that lasted this long the pause before the next one is short again (s).
_GOOD_S = 5.0
_LONGEST_PAUSE_S = 60.0


class Watcher:
    """The watcher calls `on_change` when a Workflow changes in a way that a cycle may act on."""

    def __init__(
        self, api: Api, path: str, version: str | None, on_change: Callable[[], None]
    ) -> None:
        self._api = api
        self._path = path
        self._version = version
        self._on_change = on_change
        self._seen: dict[str, object] = {}  # uid -> what of it matters
        self._stream: Stream | None = None

    def run(self, stopping: threading.Event) -> None:
        """Watch until `stopping` is set; return within a second of it."""
        reader = threading.Thread(
            target=self._keep_watching, args=(stopping,), name="argo-watch", daemon=True
        )
        reader.start()
        while reader.is_alive() and not stopping.wait(0.5):
            pass
        # It may have opened the next watch just now; one that never got an answer is left behind.
        for _ in range(20):
            stream = self._stream
            if stream is not None:
                stream.end()
            reader.join(0.05)

    def _keep_watching(self, stopping: threading.Event) -> None:
        failures = 0
        while not stopping.is_set():
            began = time.monotonic()
            problem = self._try_to_watch(stopping)
            failures = 0 if time.monotonic() - began > _GOOD_S else failures + 1
            pause_s = _pause_s(failures)
            if problem and not stopping.is_set():
                text = "Workflow watch ended; restarting it."
                log.info(text, error=problem, pause_s=round(pause_s, 1))
            stopping.wait(pause_s)

    def _try_to_watch(self, stopping: threading.Event) -> str:
        """Watch until the stream ends; return what went wrong, if anything did."""
        try:
            self._watch(stopping)
        except CallFailed as error:
            self._expire(error)
            return str(error)
        return ""

    def _watch(self, stopping: threading.Event) -> None:
        with self._api.stream(self._path, self._query(), SILENCE_S) as stream:
            self._stream = stream
            try:
                for line in stream:
                    if stopping.is_set():
                        return
                    self._take(line)
            finally:
                self._stream = None

    def _query(self) -> dict[str, str]:
        query = {
            "watch": "1",
            "labelSelector": OPEN,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        return {**query, "resourceVersion": self._version} if self._version else query

    def _take(self, line: bytes) -> None:
        with suppress(ValueError):
            event = as_dict(json.loads(line))
            kind, obj = event.get("type"), as_dict(event.get("object"))
            if kind == "ERROR":
                raise Refused(
                    int(obj.get("code") or 500), str(obj.get("message")), str(obj.get("reason"))
                )
            metadata = as_dict(obj.get("metadata"))
            self._version = metadata.get("resourceVersion") or self._version
            if kind != "BOOKMARK" and self._matters(str(kind), str(metadata.get("uid")), obj):
                self._on_change()
            return
        raise NoAnswer("a line of the watch is not JSON")

    def _matters(self, kind: str, uid: str, obj: dict[str, Any]) -> bool:
        """Return whether a cycle would see anything new; Argo's bookkeeping is not."""
        if kind == "DELETED":  # deleted, or labelled as completed
            self._seen.pop(uid, None)
            return True
        now, before = _essence(obj), self._seen.get(uid)
        self._seen[uid] = now
        return now != before and not (before is None and now == _essence({}))

    def _expire(self, error: CallFailed) -> None:
        """Run a cycle, and watch from now on: the server has forgotten the version."""
        if isinstance(error, Refused) and error.status == 410:
            self._version = None
            self._seen.clear()
            self._on_change()


def _pause_s(failures: int) -> float:
    """Return how long to pause after so many failures in a row, in seconds."""
    doublings = min(max(0, failures - 1), 6)
    return min(2.0**doublings, _LONGEST_PAUSE_S) * random.uniform(0.5, 1)


def _essence(workflow: dict[str, Any]) -> tuple[object, ...]:
    spec, status = as_dict(workflow.get("spec")), as_dict(workflow.get("status"))
    nodes = [node for node in as_dict(status.get("nodes")).values() if isinstance(node, dict)]
    return (
        status.get("phase"),
        spec.get("shutdown"),
        spec.get("suspend"),
        as_dict(workflow.get("metadata")).get("deletionTimestamp"),
        [(node.get("phase"), node.get("message")) for node in nodes],
    )
