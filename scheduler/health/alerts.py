"""This module sends alerts to the log and, if it is set, to ALERT_URLS (Slack, mail, ntfy, …)."""

import queue
import threading
import time

from jobqueue.service.log import get_logger

log = get_logger(__name__)

#: If this many alerts are waiting for slow addresses, further alerts are only logged: alerts never
#: delay the loop.
_BACKLOG = 100
ONCE_AN_S = 3600.0


class Alerts:
    """Alerts are sent in a separate thread; the caller of `send` sends one per episode."""

    def __init__(self, urls: tuple[str, ...] = ()) -> None:
        self._waiting: queue.Queue[tuple[str, str]] = queue.Queue(_BACKLOG)
        if urls:
            threading.Thread(target=self._deliver, args=(urls,), name="alerts", daemon=True).start()
        self._has_sink = bool(urls)
        self._sent: dict[str, float] = {}

    def send(self, title: str, body: str) -> None:
        """Log an alert and pass it on: `title` is what happened, `body` the remedy."""
        log.error(title, alert=True, remedy=body)
        if not self._has_sink:
            return
        try:
            self._waiting.put_nowait((title, body))
        except queue.Full:
            log.warning("An alert was not sent: too many are waiting for ALERT_URLS.", title=title)

    def once(self, title: str, body: str) -> None:
        """Send, but only once an hour with the same title.

        It is for problems that every cycle meets again until somebody acts.
        """
        now = time.monotonic()
        if now - self._sent.get(title, -ONCE_AN_S) >= ONCE_AN_S:
            self._sent[title] = now
            self.send(title, body)

    def _deliver(self, urls: tuple[str, ...]) -> None:
        import apprise  # of the extra `notify`, which is needed only if ALERT_URLS is set

        sink = apprise.Apprise()
        for url in urls:
            if not sink.add(url):
                log.error(
                    "apprise does not support an address in ALERT_URLS; no alerts are sent to it."
                )
        while True:
            title, body = self._waiting.get()
            if not sink.notify(title=f"gpuq: {title}", body=body):
                log.warning("An alert could not be delivered to all of ALERT_URLS.", title=title)
