"""Tells an admin: always in the log, and to ALERT_URLS (apprise: Slack, mail, ntfy, …) where there are any."""

import queue
import threading
import time

from jobqueue.service.log import get_logger

log = get_logger(__name__)

#: An alert that finds this many waiting for a slow sink is only logged: alerts never hold the loop up.
_BACKLOG = 100
ONCE_AN_S = 3600.0


class Alerts:
    """Sends in a thread of its own; whoever calls `send` sees to one alert an episode."""

    def __init__(self, urls: tuple[str, ...] = ()) -> None:
        self._waiting: queue.Queue[tuple[str, str]] = queue.Queue(_BACKLOG)
        if urls:
            threading.Thread(target=self._deliver, args=(urls,), name="alerts", daemon=True).start()
        self._has_sink = bool(urls)
        self._sent: dict[str, float] = {}

    def send(self, title: str, body: str) -> None:
        """`title`: what happened; `body`: what to do about it."""
        log.error(title, alert=True, remedy=body)
        if not self._has_sink:
            return
        try:
            self._waiting.put_nowait((title, body))
        except queue.Full:
            log.warning(
                "An alert was not sent: too many wait for ALERT_URLS to answer.", title=title
            )

    def once(self, title: str, body: str) -> None:
        """`send`, but the same title only once an hour: for what is met again in every cycle until somebody acts."""
        now = time.monotonic()
        if now - self._sent.get(title, -ONCE_AN_S) >= ONCE_AN_S:
            self._sent[title] = now
            self.send(title, body)

    def _deliver(self, urls: tuple[str, ...]) -> None:
        import apprise  # the extra `notify`; imported where it is asked for

        sink = apprise.Apprise()
        for url in urls:
            if not sink.add(url):
                log.error(
                    "An address in ALERT_URLS is none that apprise knows; alerts do not go there."
                )
        while True:
            title, body = self._waiting.get()
            if not sink.notify(title=f"gpuq: {title}", body=body):
                log.warning("An alert could not be delivered to all of ALERT_URLS.", title=title)
