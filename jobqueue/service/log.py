"""This module sets up the log of a service: JSON lines, or coloured lines on a terminal."""

import logging
import sys
from typing import Any, TextIO

import structlog


def configure_logging(service: str, level: str = "INFO", fmt: str = "json") -> None:
    """Set up structlog for this process; `fmt` is `json` or `console`.

    Every line has the name of the service.

    Lines go to stdout; records of other libraries (gunicorn, werkzeug) are written the same way.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    # Our own lines do not go through `logging`, which would double the cost of each line.
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.WriteLoggerFactory(_Lines(sys.stdout)),  # type: ignore[arg-type]
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.contextvars.bind_contextvars(service=service)


class _Lines:
    """A stream that drops lines on a full disk or a closed pipe instead of raising."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            pass  # there is no other place to report it

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            pass


def get_logger(name: str = "") -> Any:
    """Return a structlog logger, used like `log.info("One sentence.", job_id=…)`."""
    return structlog.get_logger(name)


def bind_log(**values: str) -> None:
    """Add these values to every later line of this thread, in place of those bound before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**values)
